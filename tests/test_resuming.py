"""What stays of a rendering that was broken off, by whatever, and where the next call begins."""

import errno
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small import IMAGES, network, visualize, watched
from torch import nn

import mfv
from mfv.activations.collector import Collector
from mfv.data import FolderImages
from mfv.discovery import TSNEKMeans
from mfv.discovery.selection import Selection
from mfv.errors import MfvError
from mfv.experiment import Experiment
from mfv.jobs import UnitsJob
from mfv.machine import Machine
from mfv.models.units import resolve_units
from mfv.objectives.base import Objective, Subject
from mfv.rendering.octave import Octave, Recipe
from mfv.rendering.rendering import Rendering
from mfv.structures import FacetSet

STEPS = 10


def several(units: list[int], **changes: Any) -> list[mfv.Facets]:
    given = {"images": IMAGES, "facets": 2, "input_size": 32, "recipe": mfv.fast_recipe(STEPS), "progress": False}
    return mfv.visualize_units(network(), "2", units, **{**given, **changes})


def test_a_mistake_in_the_next_call_leaves_the_checkpoint(tmp_path: Path) -> None:
    asked = {"recipe": mfv.fast_recipe(STEPS), "directory": tmp_path}
    with watched(interrupt_at=4), pytest.raises(mfv.Interrupted):
        visualize(**asked)
    with pytest.raises(MfvError, match=r"accelerator=nonsense"):
        visualize(**asked, accelerator="nonsense")
    with watched() as made:
        whole = visualize(**asked)
    assert made == list(range(5, STEPS))
    assert torch.equal(whole.images, visualize(recipe=mfv.fast_recipe(STEPS)).images)


def test_what_cannot_be_written_at_the_end_is_not_all_painted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = mfv.fast_recipe(55)  # the last checkpoint that is due is of step 50

    def full(self: Rendering, path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(Rendering, "save", full)
        with pytest.raises(MfvError, match=r"full|space"):
            visualize(recipe=recipe, directory=tmp_path)
    with watched() as made:
        visualize(recipe=recipe, directory=tmp_path)
    assert made == list(range(50, 55))
    assert not (tmp_path / "render.ckpt").exists()


def test_no_checkpoint_is_of_the_last_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Rendering, "save", lambda self, path: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(MfvError):
        visualize(recipe=mfv.fast_recipe(50), directory=tmp_path)
    assert not (tmp_path / "render.ckpt").exists()


def test_an_interrupt_in_the_last_step_leaves_a_finished_rendering(tmp_path: Path) -> None:
    asked = {"recipe": mfv.fast_recipe(STEPS), "directory": tmp_path}
    with watched(interrupt_at=STEPS - 1), pytest.raises(mfv.Interrupted) as caught:
        visualize(**asked)
    with watched() as made:
        whole = visualize(**asked)
    assert made == []
    assert torch.equal(whole.images, caught.value.partial.images)
    assert not list(tmp_path.glob("render.ckpt*"))


def test_a_finished_job_looks_at_no_image_again_and_its_page_shows_all_units(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several([0, 1], directory=tmp_path)
    several([2], directory=tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert all(f"unit_000{unit}/gallery.html" in page for unit in range(3))
    monkeypatch.setattr(Collector, "predict_step", lambda self, batch: pytest.fail("an image was looked at"))
    again = several([0, 1, 2], directory=tmp_path)
    assert [facets.unit.index for facets in again] == [0, 1, 2]


def test_layers_that_would_share_a_folder_are_named(tmp_path: Path) -> None:
    own = nn.Sequential(OrderedDict(output=nn.Conv2d(3, 4, 3), pool=nn.AdaptiveAvgPool2d(1), flat=nn.Flatten()))
    with pytest.raises(MfvError, match=r"layers '' and 'output' would share the folder 'output'"):
        mfv.visualize_units(own, ["", "output"], [1], IMAGES, 2, input_size=32, directory=tmp_path, progress=False)


class SpoilsUnit(Objective):
    """The mean of a channel, and for channel 1 no number."""

    layers = ("2",)

    def __init__(self, index: int = 0):
        super().__init__()
        self.index = index

    def bind(self, subject: Subject) -> Objective:
        return SpoilsUnit(subject.index)

    def forward(self, activations: Mapping[str, torch.Tensor], facets: torch.Tensor, progress: float) -> torch.Tensor:
        values = activations["2"][:, self.index].mean((1, 2))
        return values * float("nan") if self.index == 1 else values


def test_images_that_are_no_numbers_are_not_taken_up_again(tmp_path: Path) -> None:
    recipe = Recipe((Octave(4, objective=SpoilsUnit()),))
    with watched(interrupt_at=3), pytest.raises(mfv.Interrupted):
        visualize(recipe=recipe, directory=tmp_path)
    with pytest.raises(MfvError, match="NaN or infinite"):  # of the last step: it is finished
        visualize(recipe=recipe, directory=tmp_path)
    assert not list(tmp_path.glob("render*"))


def test_a_unit_of_which_nothing_becomes_stops_no_other(tmp_path: Path) -> None:
    recipe = Recipe((Octave(2, objective=SpoilsUnit()),))
    for _ in range(2):
        with pytest.raises(MfvError, match=r"1 of 3 units:\n.*unit 1: the images of facets 0, 1 are NaN"):
            several([0, 1, 2], recipe=recipe, directory=tmp_path)
        finished = {place.parent.name for place in tmp_path.rglob("gallery.html")}
        assert finished == {"unit_0000", "unit_0002"}
        assert not list((tmp_path / "2" / "waves").glob("*"))


def test_a_photograph_that_is_gone_stops_no_unit_that_did_not_need_it(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (60, 40, 40, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(photos / f"{number:03d}.png")

    def job() -> None:  # as the command line makes it, which only warns of images that have changed
        model = mfv.TargetModel(network(), input_size=32)
        experiment = Experiment(
            model, FolderImages(photos), 2, TSNEKMeans(), mfv.fast_recipe(STEPS), Selection("top", 12),
            machine=Machine(accelerator="cpu", progress=False),
        )  # fmt: skip
        UnitsJob(experiment, tmp_path / "job", tmp_path / "store").run({"2": resolve_units(model, "2", [0, 1, 2])})

    with watched(interrupt_at=4), pytest.raises(mfv.Interrupted):
        job()
    of_units = [set(FacetSet.load(tmp_path / "job" / "2" / f"unit_000{unit}").ids) for unit in range(3)]
    gone = sorted(of_units[0] - of_units[1] - of_units[2])[0]
    (photos / gone).unlink()
    with pytest.raises(MfvError, match=rf"1 of 3 units:\n.*unit 0: .*{gone}"):
        job()
    finished = {place.parent.name for place in (tmp_path / "job").rglob("gallery.html")}
    assert finished == {"unit_0001", "unit_0002"}


def test_a_wave_goes_on_whichever_of_its_units_are_asked_for_now(tmp_path: Path) -> None:
    with watched(interrupt_at=4), pytest.raises(mfv.Interrupted):
        several([0, 1], directory=tmp_path)
    with watched() as made:
        (one,) = several([1], directory=tmp_path)
    assert made == list(range(5, STEPS))
    assert torch.equal(one.images, several([1])[0].images)
    with watched() as made:
        both = several([0, 1], directory=tmp_path)  # the wave's other unit was finished too
    assert made == []
    assert all(facets.images is not None for facets in both)
