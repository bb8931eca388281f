"""docs/extending.md: its code is run as it stands, and what it defines takes part in a run."""

import json
import re
import shlex
from pathlib import Path

import pytest
import skimage
from commands import Command
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
MANY = "Many units from a notebook"


def code(section: str, language: str = "python") -> str:
    """Return the code of a section."""
    return "\n".join(re.findall(rf"^```{language}\n(.+?)^```", SECTIONS[section], flags=re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page defines: my_package.py, my_conf and a film."""
    folder = tmp_path_factory.mktemp("extending")
    (folder / "my_package.py").write_text("\n".join(code(name) for name in SECTIONS if name != MANY))
    for group, name, section in (("data", "frames", "Images"), ("discovery", "ward", "A discovery method")):
        assert f"`my_conf/{group}/{name}.yaml`" in SECTIONS[section]
        (folder / "my_conf" / group).mkdir(parents=True)
        (folder / "my_conf" / group / f"{name}.yaml").write_text(code(section, "yaml"))
    picture = Image.fromarray(skimage.data.chelsea())
    frames = [picture.crop((x, y, x + 96, y + 96)) for x in range(0, 340, 40) for y in range(0, 200, 60)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    (folder / "photos").mkdir()
    for number, frame in enumerate(frames):
        frame.save(folder / "photos" / f"{number}.png")
    return folder


@pytest.mark.parametrize("section", SECTIONS)
def test_every_extension_has_code(section: str) -> None:
    assert code(section)


def test_all_of_it_takes_part_in_one_run(place: Path) -> None:
    given = [
        piece
        for text in re.findall(r"`([^`\n]+)`", PAGE)
        for piece in shlex.split(text)
        if piece.startswith(
            ("model=custom", "model.network._target_", "data=frames", "data.path", "discovery=ward", "+render")
        )
    ]
    settings = (
        "model.input_size=96 unit=3 facets=2 render.iterations=3 evaluation=none hydra.run.dir=run store.root=store"
    )
    assert len(given) == 8
    command = Command(["--config-dir", "my_conf", *given, *settings.split()], place, PYTHONPATH=str(place))
    output, _ = command.communicate()
    assert command.wait() == 0, output
    document = json.loads((place / "run" / "facets.json").read_text())
    assert document["unit"] == {"model": "custom", "layer": "8", "index": 3, "label": None}
    assert document["discovery"]["method"] == "ward"
    assert document["facets"][0]["members"][0].startswith("frame_")
    config = (place / "run" / "config.yaml").read_text()
    for name in ("Greyer", "Squashed", "Liveliness"):
        assert f"my_package.{name}" in config


def test_many_units_from_a_notebook(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    text = (
        code(MANY)
        .replace('"/photos"', '"photos"')
        .replace('"0-15"', '"0-1"')
        .replace("fast_recipe()", "fast_recipe(2)")
    )
    names: dict[str, object] = {}
    exec("from my_package import MyNetwork\n" + text, names)
    assert [facets.unit.index for facets in names["found"]] == [0, 1]  # type: ignore[attr-defined]
    assert (place / "units" / "index.html").exists()
