"""Many units in one job give what each gives alone, whenever and wherever the job is broken off."""

import dataclasses
import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from small import watched
from torch import Tensor

from mfv.activations.collector import Collector, Found
from mfv.data import PhotoCrops
from mfv.data.files import find_images
from mfv.discovery import TSNEKMeans
from mfv.errors import MfvError
from mfv.experiment import Experiment, Layer, Plan
from mfv.helpers import Helpers
from mfv.jobs import UnitsJob, is_done, of_one, run_unit
from mfv.machine import Machine
from mfv.models.choice import layer_names, names_several, unit_names
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.models.units import resolve_units
from mfv.objectives import FacetAnchor, UnitActivation, WeightedSum
from mfv.parameterizations import FixedMagnitude, Parameterization, Pixels
from mfv.presets import composed
from mfv.regularizers import PatchPrior, RandomAffine, TVProx
from mfv.rendering import Octave, Recipe, UnitSubject, bound_part, render, render_units
from mfv.rendering.rendering import Rendering
from mfv.reports.index import Entry, index_page
from mfv.structures import Clustering, FacetSet, Unit
from mfv.waves import WAVES, Failure, images_of_a_wave, run_units

LAYER = "features.16"
SIZES = (3, 1, 2)  # facets of three units


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def photos() -> PhotoCrops:
    return PhotoCrops(scales=[0.8], photos=["coffee", "cat", "rocket"])


@pytest.fixture(scope="module")
def subjects(model: TargetModel) -> list[UnitSubject]:
    """Three units, each with photographs and facets of its own."""
    generator, layer = np.random.default_rng(0), model.before_activation(LAYER)
    source = PhotoCrops()
    pixels = torch.stack([torch.from_numpy(np.array(source.load(row).resize((224, 224)))) for row in range(36)])
    pixels = pixels.permute(0, 3, 1, 2)
    return [
        UnitSubject(
            model, layer, 10 + number, None, pixels[12 * number : 12 * number + 12], np.arange(12) % facets,
            generator.uniform(0, 5, 12).astype(np.float32),
        )
        for number, facets in enumerate(SIZES)
    ]  # fmt: skip


def starts_of(subject: UnitSubject) -> Tensor:
    pixels = subject.pixels.float() / 255
    return torch.stack([pixels[subject.assignment() == facet].mean(0) for facet in range(subject.facets)])


def recipe(parameterization: Parameterization, steps: int = 3) -> Recipe:
    """Return a recipe of which much is bound to the unit: the anchor, the patches, the spectrum."""
    objective = WeightedSum([UnitActivation(99, natural=True), FacetAnchor("middle", cap=90, rivals=0.5)], [1.0, 2.0])
    regularizers = (RandomAffine(), PatchPrior(0.2, every=2, count=50, components=8), TVProx(0.5))
    octave = Octave(steps, 2.0, objective=objective, regularizers=regularizers)
    return Recipe((octave,), momentum=0.5, average=0.5, parameterization=parameterization, batch_size=4)


@pytest.mark.parametrize("parameterization", [Pixels(), FixedMagnitude(color="images")], ids=["pixels", "phases"])
def test_units_together_are_units_alone(
    model: TargetModel, subjects: list[UnitSubject], parameterization: Parameterization
) -> None:
    plan, options = recipe(parameterization), {"progress": False, "accelerator": "cpu", "snapshot_every": 2}
    starts = [starts_of(subject) for subject in subjects]
    parts = [bound_part(plan, subject, len(own)) for subject, own in zip(subjects, starts, strict=True)]
    together = render_units(model, parts, starts, **options)  # type: ignore[arg-type]  # batches of 3 and 3: over units
    for subject, own, rendering in zip(subjects, starts, together, strict=True):
        alone = render(model, plan, subject, own, **options)
        assert torch.equal(alone.images, rendering.images)
        assert torch.equal(alone.curves, rendering.curves)
        assert alone.snapshots.keys() == rendering.snapshots.keys() == {2}
        assert torch.equal(alone.snapshots[2], rendering.snapshots[2])


def test_units_on_two_processes_are_units_on_one(
    model: TargetModel, subjects: list[UnitSubject], threads_of: Callable[[int], AbstractContextManager[None]]
) -> None:
    """Five facets: one process has three of them, the other two."""
    plan, chosen = recipe(Pixels(), 2), subjects[::2]
    starts = [starts_of(subject) for subject in chosen]
    parts = [bound_part(plan, subject, len(own)) for subject, own in zip(chosen, starts, strict=True)]
    with threads_of(2):
        one = render_units(model, parts, starts, progress=False, accelerator="cpu")
    two = render_units(model, parts, starts, progress=False, accelerator="cpu", devices=2)
    for here, there in zip(one, two, strict=True):
        print(f"two processes against one: max difference {(here.images - there.images).abs().max().item():.1e}")
        assert torch.allclose(here.images, there.images, atol=1e-4)
        assert torch.allclose(here.curves, there.curves, atol=1e-3)


# --- the job --------------------------------------------------------------------------------------


class Picky:
    """t-SNE and k-means, but for one unit, for which there is nothing."""

    def __init__(self, refused: int | None = None):
        self.refused, self.calls = refused, 0

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        self.calls += 1
        if self.calls == self.refused:
            raise MfvError("no facets here")
        return TSNEKMeans()(codes, facets, seed)


def experiment(model: TargetModel, photos: PhotoCrops, discovery: Picky | None = None) -> Experiment:
    return Experiment(
        model, photos, facets=2, discovery=discovery or Picky(), recipe=recipe(Pixels(), 4),
        machine=Machine(accelerator="cpu", progress=False), snapshot_every=2, checkpoint_every=1, level=logging.DEBUG,
    )  # fmt: skip


def finished(directory: Path, unit: Unit) -> dict:
    document = json.loads((directory / unit.layer / f"unit_{unit.index:04d}" / "facets.json").read_text())
    document.pop("timing")
    return document


@pytest.fixture(scope="module")
def whole(model: TargetModel, photos: PhotoCrops, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An unbroken job of three units."""
    root = tmp_path_factory.mktemp("whole")
    units = resolve_units(model, LAYER, "3-5")
    found = UnitsJob(experiment(model, photos), root / "run", root / "store", "python run.py facets=2").run(
        {LAYER: units}
    )
    assert [facet_set.unit for facet_set in found] == units
    return root


def test_a_job_leaves_what_runs_of_single_units_leave(model: TargetModel, photos: PhotoCrops, whole: Path) -> None:
    units = resolve_units(model, LAYER, "3-5")
    assert not list((whole / "run" / LAYER / WAVES).iterdir())
    for unit in units:
        alone = run_unit(experiment(model, photos), unit, whole / f"alone_{unit.index}", whole / "store")
        together = FacetSet.load(whole / "run" / LAYER / f"unit_{unit.index:04d}")
        assert together.images is not None
        assert alone.images is not None
        assert torch.equal(alone.images, together.images)
        one, other = alone.to_json(), together.to_json()
        one.pop("timing"), other.pop("timing")
        assert one == other
    assert find_images(whole) == []  # none of its pictures is taken for a photograph when the folder is
    page = (whole / "run" / "index.html").read_text()
    for unit in units:
        folder = f"{LAYER}/unit_{unit.index:04d}"
        assert f'href="{folder}/gallery.html"' in page
        assert f'src="{folder}/strip.webp"' in page
        assert (whole / "run" / folder / "strip.webp").exists()
    assert "still to come" not in page
    assert "unit=4" in (whole / "run" / LAYER / "unit_0004" / "gallery.html").read_text()


@pytest.mark.parametrize("stop", [0, 3])
def test_a_broken_job_goes_on(
    model: TargetModel,
    photos: PhotoCrops,
    whole: Path,
    tmp_path: Path,
    killed_at: Callable[[int], AbstractContextManager[None]],
    stop: int,
) -> None:
    units = resolve_units(model, LAYER, "3-5")
    first = UnitsJob(experiment(model, photos), tmp_path, whole / "store")
    with killed_at(stop):
        first.run({LAYER: units})
    again = Picky()
    with watched() as made:
        UnitsJob(experiment(model, photos, again), tmp_path, whole / "store").run({LAYER: units})
    assert min(made) == stop  # a checkpoint behind each step
    assert again.calls == 0  # their facets were known
    for unit in units:
        assert finished(tmp_path, unit) == finished(whole / "run", unit)


def test_a_job_broken_off_among_its_reports_does_the_rest(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = resolve_units(model, LAYER, "3-5")
    asked = UnitsJob(experiment(model, photos), tmp_path, whole / "store")
    layer = asked.experiment.collect(LAYER, whole / "store")
    finish = partial(asked.finish, helpers=Helpers())
    results = run_units(asked.experiment, layer, units, tmp_path / LAYER, asked.place, is_done, finish, Helpers())
    assert next(results).unit == units[0]
    del results
    assert [is_done(asked.place(unit)) for unit in units] == [True, False, False]

    def forbidden(*args: object, **keywords: object) -> None:
        raise AssertionError("rendered again")

    monkeypatch.setattr("mfv.experiment.render_units", forbidden)
    before = (asked.place(units[0]) / "gallery.html").stat().st_mtime_ns
    asked.run({LAYER: units})
    assert (asked.place(units[0]) / "gallery.html").stat().st_mtime_ns == before
    for unit in units:
        assert finished(tmp_path, unit) == finished(whole / "run", unit)


def test_waves_are_full_and_change_nothing(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfv.waves.ON_CPU", 3)  # two units of two facets, then one
    sizes = []
    story = Experiment.render

    def spy(self: Experiment, layer: Layer, plans: list[Plan], directory: Path) -> list[Rendering]:
        sizes.append([plan.found.unit.index for plan in plans])
        return story(self, layer, plans, directory)

    monkeypatch.setattr(Experiment, "render", spy)
    units = resolve_units(model, LAYER, "3-5")
    UnitsJob(experiment(model, photos), tmp_path, whole / "store").run({LAYER: units})
    assert sizes == [[3, 4], [5]]
    for unit in units:
        assert finished(tmp_path, unit) == finished(whole / "run", unit)


class Uneven(Picky):
    """A single facet for every second unit."""

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        return super().__call__(codes, 1 if self.calls % 2 else facets, seed)


def test_units_with_as_many_facets_are_side_by_side_in_a_wave(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[int] = []
    story = Experiment.render

    def spy(self: Experiment, layer: Layer, plans: list[Plan], directory: Path) -> list[Rendering]:
        parts.extend(len(plan.starts) for plan in plans)
        return story(self, layer, plans, directory)

    monkeypatch.setattr(Experiment, "render", spy)
    units = resolve_units(model, LAYER, "3-5")
    found = UnitsJob(experiment(model, photos, Uneven()), tmp_path, whole / "store").run({LAYER: units})
    assert parts == [1, 2, 2]
    assert [len(facet_set) for facet_set in found] == [2, 1, 2]
    for unit in units[::2]:
        assert finished(tmp_path, unit) == finished(whole / "run", unit)


def test_a_job_over_layers_passes_the_images_once_and_leaves_what_each_layers_job_leaves(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = []
    story = Collector._pass

    def spy(self: Collector, pixels: Tensor) -> Found:
        passed.append(len(pixels))
        return story(self, pixels)

    monkeypatch.setattr(Collector, "_pass", spy)
    units = {layer: resolve_units(model, layer, "3-4") for layer in (LAYER, "features.14")}
    UnitsJob(experiment(model, photos), tmp_path / "both", tmp_path / "store").run(units)
    assert sum(passed) == len(photos)
    job = UnitsJob(experiment(model, photos), tmp_path / "alone", tmp_path / "others")
    job.run({"features.14": units["features.14"]})
    for unit in units["features.14"]:
        assert finished(tmp_path / "both", unit) == finished(tmp_path / "alone", unit)
    for unit in units[LAYER]:
        assert finished(tmp_path / "both", unit) == finished(whole / "run", unit)


def test_one_unit_without_facets_stops_no_other(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path
) -> None:
    units = resolve_units(model, LAYER, "3-5")
    job = UnitsJob(experiment(model, photos, Picky(refused=2)), tmp_path, whole / "store")
    with pytest.raises(MfvError, match=r"1 of 3 units:\n.*features\.16 unit 4: no facets here"):
        job.run({LAYER: units})
    assert [is_done(job.place(unit)) for unit in units] == [True, False, True]
    page = (tmp_path / "index.html").read_text()
    assert "unit 4: no facets here" in page
    assert finished(tmp_path, units[2]) == finished(whole / "run", units[2])


class Refusing:
    """Finds nothing, wherever it is asked."""

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        raise MfvError(f"no {facets} facets in {len(codes)} images")


def helped(asked: Experiment, count: int = 2) -> Experiment:
    return dataclasses.replace(asked, machine=dataclasses.replace(asked.machine, helpers=count))


def test_helpers_change_nothing(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfv.waves.ON_CPU", 3)  # two units of two facets, then one, which was begun before
    here = Picky()
    units = resolve_units(model, LAYER, "3-5")
    job = UnitsJob(helped(experiment(model, photos, here)), tmp_path, whole / "store", "python run.py facets=2")
    assert [found.unit for found in job.run({LAYER: units})] == units
    assert here.calls == 0  # but in copies of it, elsewhere
    for unit in units:
        assert finished(tmp_path, unit) == finished(whole / "run", unit)
        for name in ("contact_sheet.png", "strip.webp", "facets.safetensors", "metrics.csv", "facets/facet_01.png"):
            folder = Path(LAYER) / f"unit_{unit.index:04d}"
            assert (tmp_path / folder / name).read_bytes() == (whole / "run" / folder / name).read_bytes()
    asked = {LAYER: resolve_units(model, LAYER, "6-7")}
    (tmp_path / "none").mkdir()
    with pytest.raises(MfvError, match=r"2 of 2 units:\n.*unit 6: no 2 facets in \d+ images\n.*unit 7: no 2 facets"):
        UnitsJob(helped(experiment(model, photos, Refusing())), tmp_path / "none", whole / "store").run(asked)  # type: ignore[arg-type]


def test_failures_are_given_where_they_happen(
    model: TargetModel, photos: PhotoCrops, whole: Path, tmp_path: Path
) -> None:
    asked = dataclasses.replace(experiment(model, photos), facets=1000)
    layer = asked.collect(LAYER, whole / "store")
    units = resolve_units(model, LAYER, [3])
    (failure,) = run_units(
        asked, layer, units, tmp_path, lambda unit: tmp_path / str(unit.index), is_done, partial(partial), Helpers()
    )
    assert isinstance(failure, Failure)
    assert "too few for 1000 facets" in failure.message


# --- what is asked for ----------------------------------------------------------------------------


def test_units_are_named_by_number_span_list_and_all() -> None:
    assert unit_names(7, 10) == [7]
    assert unit_names("tabby", 10) == ["tabby"]
    assert unit_names("all", 3) == [0, 1, 2]
    assert unit_names("2-4", 10) == [2, 3, 4]
    assert unit_names([3, "5-6", 5, "n03032252"], 10) == [3, 5, 6, "n03032252"]
    for wrong, shown in (("4-2", "4-2: give the smaller"), ("0-10", "0-10: the layer's units are 0-9$")):
        with pytest.raises(MfvError, match=shown):
            unit_names(wrong, 10)
    with pytest.raises(MfvError, match="at least one unit"):
        unit_names([], 10)
    with pytest.raises(MfvError, match="at least one layer"):
        layer_names([], "fc8")
    assert layer_names(None, "fc8") == ["fc8"]
    assert layer_names(["conv1", "fc8", "conv1"], "fc7") == ["conv1", "fc8"]
    assert (layer_names(4, "fc8"), layer_names([4, "0.10"], "fc8")) == (["4"], ["4", "0.10"])
    for fraction, shown in (
        (0.1, r"layer=0.1 is read as a number.*write layer='\"0.1\"'"),
        ([4, 0.1], r"write layer='\[\"0"),
    ):
        with pytest.raises(MfvError, match=shown):
            layer_names(fraction, "fc8")  # type: ignore[arg-type]
    assert [names_several(None, unit) for unit in (3, "all", "0-9", [3], "jack-o'-lantern")] == [
        False,
        True,
        True,
        True,
        False,
    ]
    assert names_several(["conv1"], 3)


def test_a_unit_that_is_named_twice_is_done_once(model: TargetModel) -> None:
    assert [unit.index for unit in resolve_units(model, LAYER, [3, "3", "2-3"])] == [3, 2]


def test_a_wave_has_enough_images_for_all_processes(model: TargetModel, photos: PhotoCrops) -> None:
    for machine, images in (
        (Machine(accelerator="cpu"), 64),
        (Machine(accelerator="cpu", devices="auto"), 64),
        (Machine(accelerator="cpu", devices=4, num_nodes=2), 512),
    ):
        assert images_of_a_wave(dataclasses.replace(experiment(model, photos), machine=machine)) == images


def test_the_command_of_one_unit() -> None:
    unit = Unit("mobilenet_v2", "features.16", 12)
    command = "python run.py unit=all layer=[features.16,features.14] facets=4 hydra.run.dir=x 'data.root=/my photos'"
    assert of_one(command, unit) == "python run.py facets=4 'data.root=/my photos' layer=features.16 unit=12"
    assert of_one("", unit) == ""
    numbered = Unit("own", "0.10", 3)
    assert of_one("python run.py ++unit=all +layer=0.10 facets=4", numbered) == (
        "python run.py facets=4 'layer=\"0.10\"' unit=3"
    )
    (layer,) = layer_names(composed(['layer="0.10"']).layer, "")
    assert layer == "0.10"


def test_the_index_escapes_what_comes_from_outside() -> None:
    evil = "<img src=x onerror=alert(1)>\"'"
    page = index_page(
        [Entry(evil, 3, evil, "a%22b", 2, 10, 1.5, 99.0, 0.5, (evil,))], failures=[evil], command=evil
    )  # fmt: skip
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") >= 5
