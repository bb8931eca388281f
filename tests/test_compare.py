"""The comparison script: real runs, one table, one panel; what is there already is not run again."""

import json
from pathlib import Path
from types import ModuleType

import pytest
from loading import load_script
from PIL import Image

ON = [
    "data=photos",
    "data.photos=[coffee,cat]",
    "data.scales=[0.8]",
    "layer=classifier.1",
    "unit=967",
    "facets=2",
    "evaluation=none",
    "machine.progress=false",
    "render.iterations=2",
]


@pytest.fixture(scope="module")
def compare() -> ModuleType:
    return load_script("compare")


def test_rows_and_seeds_make_a_table_and_a_panel(
    compare: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["fast", "fast render.start=mean", "nonsense"]
    arguments = [*rows, "--on", *ON, f"store.root={tmp_path / 'store'}", "--seeds", "0", "1", "--out", str(tmp_path)]
    assert compare.main(arguments) == 1  # one row cannot be run: the others are, and it is named
    assert "nonsense  seed 0: " in capsys.readouterr().err
    table = json.loads((tmp_path / "compare.json").read_text())
    assert [(row["row"], row["runs"]) for row in table] == [("fast", 2), ("fast render.start=mean", 2)]
    for row, name in zip(table, ("fast", "fast_start=mean"), strict=True):
        files = [tmp_path / "unit" / name / f"seed{seed}" / "facets.json" for seed in (0, 1)]
        found = [json.loads(file.read_text())["metrics"]["activation_mean"] for file in files]
        assert row["value"]["values"] == found
        assert row["value"]["mean"] == pytest.approx(sum(found) / 2)
    assert table[0]["value"] != table[1]["value"]
    assert (tmp_path / "compare.md").read_text().count("\n") == 4
    with Image.open(tmp_path / "panel.png") as panel:
        assert panel.size == (150 + 2 * 164, 3 * 164)  # two facets; the mean images and two rows

    written = files[0].stat().st_mtime_ns
    compare.main([*rows[:2], *arguments[3:]])
    assert files[0].stat().st_mtime_ns == written

    other = [*arguments[3:5], "render.momentum=0.1", *arguments[5:]]  # other settings than those that were compared
    capsys.readouterr()
    assert compare.main(["fast", *other]) == 1
    assert "holds a run with another configuration (it differs in render.momentum)" in capsys.readouterr().err
    assert files[0].stat().st_mtime_ns == written


def test_units_have_rows_of_their_own_and_means_by_kind(compare: ModuleType, tmp_path: Path) -> None:
    units = ["layer=classifier.1 unit=967", "layer=classifier.1 unit=504", "layer=features.18 unit=792"]
    (tmp_path / "units.txt").write_text("\n".join(units) + "\n")
    on = [each for each in ON if not each.startswith(("unit", "layer"))] + [f"store.root={tmp_path / 'store'}"]
    assert compare.main(["fast", "--units", f"@{tmp_path / 'units.txt'}", "--on", *on, "--out", str(tmp_path)]) == 0
    table = json.loads((tmp_path / "compare.json").read_text())
    names = [f"{unit} fast" for unit in units]
    assert [row["row"] for row in table] == [*names, "class units: fast", "hidden units: fast"]
    value = {row["row"]: row["value"]["mean"] for row in table}
    assert value["class units: fast"] == pytest.approx((value[names[0]] + value[names[1]]) / 2)
    assert value["hidden units: fast"] == pytest.approx(value[names[2]])
    assert (tmp_path / "layer=classifier.1_unit=967.png").exists()


def test_a_table_shows_spreads_where_there_are_several_seeds(compare: ModuleType) -> None:
    documents = [{"metrics": {"fidelity": value}, "timing": {"render": 10.0}} for value in (0.8, 1.0)]
    assert compare.markdown([compare.summary("fast", documents)]).splitlines()[-1] == "| fast | 0.900 ± 0.10 | 10.000 |"
    assert compare.markdown([compare.summary("one", documents[:1])]).splitlines()[-1] == "| one | 0.800 | 10.000 |"
