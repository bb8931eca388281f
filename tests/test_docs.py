"""Commands and links in README.md and docs/: they are what the program takes, and lead somewhere."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser

import mfv
import mfv.regularizers
from mfv.config import register
from mfv.regularizers import Regularizer

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PLACEHOLDERS = {"ASK", "RUN", "…", "..."}  # what the reader fills in
OWN = {"--config-dir", "--help", "store"}  # a reader's own configuration; no runs


def commands() -> list[tuple[str, str]]:
    """Return (page, arguments) of every run.py on the pages."""
    found = []
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
        for arguments in re.findall(r"python run\.py([^`\n#]*)", text):
            if not OWN & set(arguments.split()) and "GROUP" not in arguments:
                found.append((page.name, arguments.strip()))
    return found


@pytest.mark.parametrize(("page", "arguments"), commands())
def test_a_command_is_one(page: str, arguments: str) -> None:
    register()
    given = [argument for argument in shlex.split(arguments) if argument not in PLACEHOLDERS]
    many = "-m" in given
    parsed = OverridesParser.create().parse_overrides([argument for argument in given if not argument.startswith("-")])
    single = [
        f"{each.get_key_element()}={next(each.sweep_string_iterator())}"
        if each.is_sweep_override()
        else each.input_line
        for each in parsed
    ]
    assert many or not any(each.is_sweep_override() for each in parsed)
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        compose("config", [each for each in single if each and not each.startswith("hydra.")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([\w-]+))?\)", page.read_text(encoding="utf-8")):
        file = (page.parent / target[0]) if target[0] else page
        assert file.exists(), f"{page.name} links to {target[0]}"
        if target[1]:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert target[1] in {anchor(heading) for heading in headings}, f"{page.name}: {target[0]}#{target[1]}"


def anchor(heading: str) -> str:
    """Return a heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def regularizer_rows() -> dict[str, tuple[list[str], set[str], set[str]]]:
    """Return each regularizer's settings, where it acts and the presets that have it, by the table of its page."""
    found = {}
    for line in (ROOT / "docs" / "regularizers.md").read_text(encoding="utf-8").splitlines():
        if row := re.match(r"\| `(\w+)\(([^)]*)\)` \| ([\w, ]+) \| [^|]+ \|([^|]*)\|", line):
            found[row[1]] = (row[2].split(", "), set(row[3].split(", ")), set(re.findall(r"`(\w+)`", row[4])))
    return found


def test_the_page_of_regularizers_tells_where_each_acts_and_what_has_it() -> None:
    places = {"view": "transform", "penalty": "penalty", "gradient": "gradient", "pixels": "project"}
    recipes = {path.stem: mfv.preset("render", path.stem) for path in (ROOT / "conf" / "render").glob("*.yaml")}
    classes = [getattr(mfv.regularizers, name) for name in mfv.regularizers.__all__]
    expected = {}
    for kind in classes:
        if isinstance(kind, type) and issubclass(kind, Regularizer) and kind is not Regularizer:
            acts = {place for place, name in places.items() if getattr(kind, name) is not getattr(Regularizer, name)}
            having = {
                name
                for name, recipe in recipes.items()
                if any(type(part) is kind for octave in recipe.octaves for part in octave.regularizers)
            }
            found_later = {"database", "natural"}  # by `bind`
            settings = [each.name for each in fields(kind) if each.name not in found_later]
            expected[kind.__name__] = (settings, acts, having)
    assert regularizer_rows() == expected
