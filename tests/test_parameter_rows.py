"""docs/parameters.md: what it names is there, its pictures are those of the table of rows, and a row is painted."""

import re
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest
from hydra import compose, initialize_config_dir
from loading import load_script
from omegaconf import DictConfig, OmegaConf
from PIL import Image, ImageChops

from mfv.config import register

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
PICTURES = ROOT / "docs" / "images" / "parameters"
PARTS = (
    "objectives.margin.objective.",
    "regularizers.tone.",
    "regularizers.tv.",
)  # which the page leaves out a second time
PREFIXES = ("", "render.", "discovery.", "select.", "store.", *(f"render.{part}" for part in PARTS))


@pytest.fixture(scope="module")
def rows() -> ModuleType:
    return load_script("parameter_rows")


def keys(config: DictConfig, prefix: str = "") -> set[str]:
    """Return the names of all settings, of groups of them too, with dots."""
    found = set()
    for key in config:
        found.add(f"{prefix}{key}")
        value = config._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none() and not value._is_missing():
            found |= keys(value, f"{prefix}{key}.")
    return found


def test_the_tables_name_what_there_is() -> None:
    register()
    known = {path.stem for path in (ROOT / "conf").rglob("*.yaml")}  # the choices of the groups
    known |= {path.parent.name for path in (ROOT / "conf").rglob("*.yaml")}
    known |= {"--quiet"}
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        for choice in ("tsne", "consensus", "hdbscan", "kmeans"):
            config = compose("config", [f"discovery={choice}"])
            for prefix in PREFIXES:
                known |= {key.removeprefix(prefix) for key in keys(config)}
        known |= keys(OmegaConf.load(ROOT / "conf" / "data" / "folder.yaml"), "data.")  # type: ignore[arg-type]
        known |= keys(compose("config", ["logger=wandb"]))
    first = re.findall(r"^\| (?!---)(.+?) \|", PAGE, flags=re.MULTILINE)
    named = [name for cell in first for name in re.findall(r"`([^`]+)`", cell)]
    assert len(named) > 60
    assert [name for name in named if not any(fnmatchcase(key, name) for key in known)] == []


def test_every_row_has_its_default_and_its_parameters(rows: ModuleType) -> None:
    for row in rows.table():
        assert row.variants().count(rows.PRESET) == 1, row.name
        assert len(row.labels) == len(row.values), row.name
        for key in row.keys:
            assert any(part in PAGE for part in (f"`{key}`", key.removeprefix("render."), key.rsplit(".", 1)[-1])), key


def test_the_page_has_every_rows_picture_and_no_other(rows: ModuleType) -> None:
    shown = re.findall(r"!\[[^\]]{20,}\]\(images/parameters/(\w+)\.jpg\)", PAGE)
    assert shown == [row.name for row in rows.table()]  # in the same order
    files = list(PICTURES.iterdir())
    assert sorted(file.name for file in files) == sorted(f"{name}.jpg" for name in shown)
    assert max(file.stat().st_size for file in files) <= 40_000
    assert sum(file.stat().st_size for file in files) <= 700_000


def test_a_row_is_painted(rows: ModuleType, tmp_path: Path) -> None:
    on = ["data.photos=[coffee,cat]", "data.scales=[0.8]", "render.iterations=2", "machine.progress=false"]
    arguments = ["momentum", "--runs", str(tmp_path / "runs"), "--pictures", str(tmp_path / "pictures")]
    assert rows.main([*arguments, "--on", *on, f"store.root={tmp_path / 'store'}"]) == 0
    with Image.open(tmp_path / "pictures" / "momentum.jpg") as strip:
        assert strip.width == 840
        third = (840 - 2 * rows.APART) // 3
        parts = [strip.crop((left, 0, left + third, strip.height - rows.LABEL)) for left in (0, 840 - third)]
    assert ImageChops.difference(*parts).getextrema() != ((0, 0),) * 3


def test_mistakes_are_answered(rows: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert rows.main(["momentun"]) == 1
    assert "there is no row 'momentun'; there are " in capsys.readouterr().err
    wrong = rows._row(
        "wrong", {"keys": ["render.momentums"], "values": [1, 2], "on": [], "show": "facets", "columns": 1, "lines": 1}
    )
    with pytest.raises(rows.MfvError, match=r"row wrong: the configuration has no render\.momentums"):
        wrong.variants()
