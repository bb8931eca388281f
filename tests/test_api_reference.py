"""The API reference: it builds, and every public name has its place and its description there."""

import ast
import html
import importlib
import importlib.util
import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType

import pytest
from loading import load_script

import mfv

pytest.importorskip("pdoc", reason="the reference is built with pdoc (pip install pdoc, or the extra docs)")

PACKAGES = ("data", "discovery", "evaluation", "objectives", "parameterizations", "regularizers", "rendering")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    return load_script("api_reference")


@pytest.fixture(scope="module")
def pages(reference: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages of the public API; all modules take a minute."""
    folder = tmp_path_factory.mktemp("api")
    assert reference.main(["mfv", *(f"mfv.{package}" for package in PACKAGES), "--out", str(folder)]) == 0
    return folder


def words(text: str | None) -> str:
    """Return the letters and digits of a text or a page, without its marks."""
    return "".join(re.findall(r"\w+", html.unescape(re.sub(r"<[^>]+>", "", text or ""))))


@pytest.mark.parametrize("module", ["mfv", *(f"mfv.{package}" for package in PACKAGES)])
def test_every_public_name_is_described_on_its_page(pages: Path, module: str) -> None:
    page = (pages / f"{module.replace('.', '/')}.html").read_text(encoding="utf-8")
    found = importlib.import_module(module)
    assert found.__all__
    for name in found.__all__:
        thing = getattr(found, name)
        summary = (inspect.getdoc(thing) or "").split("\n\n")[0]
        assert summary, f"{module}.{name} has no docstring"
        begin = page.index(f'id="{name}"')
        assert words(summary) in words(page[begin:]), f"{module}.{name}"


@pytest.mark.parametrize("module", ["mfv", *(f"mfv.{package}" for package in PACKAGES)])
def test_every_field_of_a_record_is_described(module: str) -> None:
    found = importlib.import_module(module)
    for thing in (getattr(found, name) for name in found.__all__):
        given = [each.name for each in fields(thing) if each.init and each.repr] if is_dataclass(thing) else []
        told = "".join(base.__doc__ or "" for base in getattr(thing, "__mro__", ()))
        missing = [name for name in (*given, *getattr(thing, "_fields", ())) if f"{name}: " not in told]
        assert not missing, f"{thing} does not say what {', '.join(missing)} is"


def test_sections_become_lists(pages: Path) -> None:
    page = (pages / "mfv.html").read_text(encoding="utf-8")
    about = page[page.index('<section id="visualize"') :]
    for section in ("Arguments", "Returns", "Raises", "Example"):
        assert re.search(rf"<h6[^>]*>{section}:</h6>", about), section
    for name in inspect.signature(mfv.visualize).parameters:
        assert f"<strong>{name}:</strong>" in about, f"visualize does not say what {name} is"
    for heading in (
        "Args:",
        "Attributes:\n",
        "Raises:\n",
    ):  # sections that were not understood stay as they are written
        assert heading not in page


def test_a_constructor_shows_its_arguments_and_their_limits_in_words(pages: Path) -> None:
    page = (pages / "mfv" / "regularizers.html").read_text(encoding="utf-8")
    shown = words(page[page.index('id="RandomAffine.__init__"') :][:6000])
    assert words("rotation: float (an angle in degrees, from 0 to 180) = 10.0, smallest: float (a share of") in shown
    assert "Annotated" not in words(page)


def test_a_class_shows_its_constructor_and_no_bare_fields(pages: Path) -> None:
    page = (pages / "mfv" / "regularizers.html").read_text(encoding="utf-8")
    assert 'id="RandomAffine.__init__"' in page
    assert 'id="RandomAffine.transform"' in page
    assert 'id="RandomAffine.rotation"' not in page
    assert "shared by both nn.Module and ScriptModule" not in (pages / "mfv" / "objectives.html").read_text()


def test_every_module_says_what_it_is(reference: ModuleType) -> None:
    modules = reference.public_modules()
    assert {"mfv", "mfv.schedules", "mfv.rendering.octave", "mfv.models.target"} <= set(modules)
    for name in modules:
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        assert ast.get_docstring(ast.parse(Path(spec.origin).read_text(encoding="utf-8"))), f"{name} has no docstring"
