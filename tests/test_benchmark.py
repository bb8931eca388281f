"""The benchmark's parts measure what they say; how fast anything is, is no test's business."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
import benchmark
from benchmarks import bench as benches
from benchmarks import clustering, step

from mfv.errors import MfvError


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> benches.Bench:
    arguments = ["--images", "2", "--rounds", "1", "--out", str(tmp_path_factory.mktemp("benchmark"))]
    try:
        return benches.make_bench(benchmark.parser().parse_args(arguments))
    except MfvError as error:
        pytest.skip(f"no weights: {error}")


@pytest.mark.parametrize("preset", ["fast", "mean_image"])
def test_a_thinned_recipe_keeps_the_octaves_in_proportion(bench: benches.Bench, preset: str) -> None:
    whole = bench.recipe(preset)
    thin = step.thinned(whole, 40)
    assert len(thin.octaves) == len(whole.octaves)
    assert 30 <= thin.steps <= 50
    assert all(octave.iterations % benches.TURN == 0 for octave in thin.octaves)
    for one, other in zip(whole.octaves, thin.octaves, strict=True):
        assert abs(other.iterations - 40 * one.iterations / whole.steps) <= 6
    assert step.thinned(whole, 10_000) == whole


def test_the_timed_loop_is_the_loop(bench: benches.Bench) -> None:
    recipe = step.thinned(bench.recipe("fast"), 6)
    loop = step.Loop(bench, recipe)
    while not loop.finished:
        loop()
    assert loop.done == 6
    assert loop.maximizer.result().equal(bench.maximizer(recipe, 2).run())


def test_the_table_and_the_file_say_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clustering, "CODES", (600, 64))
    assert benchmark.main(["discover", "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    document = json.loads((tmp_path / "benchmark.json").read_text())
    assert document["machine"]["threads"] >= 1
    assert len(document["rows"]) == 3
    for row in document["rows"]:
        assert f"| {row['what']} | {row['ratio']:.2f} |" in printed
    assert printed.strip() == (tmp_path / "benchmark.md").read_text().strip()


def test_an_unknown_part_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        benchmark.main(["speed"])
    assert "no part 'speed'; there are step, peers" in capsys.readouterr().err
