"""Images that are decoded while libraries are loaded are the same images, and nothing depends on how many there are."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from mfv.activations.collector import Wanted, collect_layers
from mfv.data import FolderImages, InMemoryImages, PhotoCrops, Preprocess
from mfv.data.decoded_ahead import DecodedAhead, able
from mfv.data.loading import BadImage, Images
from mfv.data.source import ImageSource
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model

pytestmark = pytest.mark.skipif(not able(), reason="needs a second processor, and processes that can be copied")

RUN = Path(__file__).resolve().parents[1] / "run.py"
SMALL = Preprocess(48, 64)


def wait(ready: Callable[[], bool]) -> None:
    for _ in range(6000):
        if ready():
            return
        time.sleep(0.01)
    raise TimeoutError


@pytest.fixture
def source() -> PhotoCrops:
    return PhotoCrops(photos=["coffee"])


def decoded(source: ImageSource, count: int, preprocess: Preprocess = SMALL) -> DecodedAhead:
    """Return the first images, decoded by a copy of this process that has ended."""
    ahead = DecodedAhead(source, preprocess, memory=count * 3 * preprocess.size**2)
    ahead.begin()
    assert ahead._copy is not None
    wait(lambda: not ahead._copy.is_alive())  # it ends by itself where it has done all
    ahead.end()
    return ahead


def test_they_are_to_the_bit_what_this_process_decodes(source: PhotoCrops) -> None:
    with decoded(source, 5) as ahead:
        ahead.end()
        there = [ahead.pixels(index) for index in range(len(source))]
        assert [pixels is not None for pixels in there] == [True] * 5 + [False] * (len(source) - 5)
        for index, pixels in enumerate(there[:5]):
            assert pixels is not None
            assert torch.equal(pixels, SMALL.bytes(source.load(index)))
    assert ahead.pixels(0) is None
    assert not multiprocessing.active_children()


def test_nothing_is_taken_while_they_are_decoded_or_of_other_images(source: PhotoCrops) -> None:
    with DecodedAhead(source, SMALL) as ahead:
        wait(lambda: bool(ahead._done[0]))
        assert ahead.pixels(0) is None
        ahead.end()
        assert Images(source, SMALL, ahead).ahead is ahead
        assert Images(source, Preprocess(48, 48), ahead).ahead is None
        assert Images(PhotoCrops(photos=["rocket"]), SMALL, ahead).ahead is None


def test_what_cannot_be_read_is_left_to_who_wants_it(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("RGB", (80, 70), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    source = FolderImages(tmp_path)
    ahead = decoded(source, 3)
    assert [ahead.pixels(index) is not None for index in range(3)] == [True, False, True]
    images = Images(source, SMALL, ahead)
    assert isinstance(images[1], BadImage)
    kept = images[2]
    assert isinstance(kept[1], Tensor)
    assert torch.equal(kept[1], SMALL.bytes(source.load(2)))


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "raises"])
def test_one_that_stops_in_the_middle_leaves_the_rest_without_a_word(
    source: PhotoCrops, killed: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    story, here = PhotoCrops.load, os.getpid()

    def load(self: PhotoCrops, index: int) -> Image.Image:
        if index == 2 and os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL) if killed else [][0]
        return story(self, index)

    monkeypatch.setattr(PhotoCrops, "load", load)
    ahead = decoded(source, 6)
    assert [ahead.pixels(index) is not None for index in range(6)] == [True, True, False, False, False, False]
    assert capfd.readouterr() == ("", "")
    squares = Images(source, SMALL, ahead).squares(range(6))
    assert all(torch.equal(square, SMALL.bytes(source.load(index))) for index, square in enumerate(squares))


def test_images_that_one_thread_at_a_time_may_load_are_not_decoded_ahead() -> None:
    with DecodedAhead(InMemoryImages([np.zeros((50, 50, 3), np.uint8)] * 3), SMALL) as ahead:
        assert not multiprocessing.active_children()
        assert ahead.pixels(0) is None


def test_the_store_is_the_same_with_and_without(source: PhotoCrops, tmp_path: Path) -> None:
    model: TargetModel = torchvision_model("mobilenet_v2")
    preprocess = Preprocess(model.input_size, model.resize)

    def shards(place: Path, ahead: DecodedAhead | None) -> list[bytes]:
        (store,) = collect_layers(
            model, [Wanted("features.18.1")], source, place, accelerator="cpu", progress=False, decoded=ahead
        )
        return [path.read_bytes() for path in sorted(store.directory.parent.rglob("shard_*"))]

    assert shards(tmp_path / "with", decoded(source, 7, preprocess)) == shards(tmp_path / "without", None)


PROGRAM = """
import sys, time
import mfv.data.decoded_ahead as ahead
from mfv.cli import main

end, pixels, taken = ahead.DecodedAhead.end, ahead.DecodedAhead.pixels, []

def late(self):
    while self._copy is not None and not self._done[:3].all() and self._copy.is_alive():
        time.sleep(0.01)
    end(self)

def watched(self, index):
    found = pixels(self, index)
    taken.append(found is not None)
    return found

ahead.DecodedAhead.end, ahead.DecodedAhead.pixels = late, watched
assert "pytorch_lightning" not in sys.modules
main()
print("taken", taken[:3], sum(taken))
"""


def test_a_run_takes_them_and_finds_what_a_run_without_finds(tmp_path: Path) -> None:
    settings = [
        "data.photos=[coffee]", "facets=2", "unit=5", "render.iterations=2", "evaluation.judge=null",
        "machine.accelerator=cpu", f"store.root={tmp_path / 'store'}",
    ]  # fmt: skip

    def run(program: list[str], name: str) -> str:
        command = [*program, *settings, f"hydra.run.dir={tmp_path / name}"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    (tmp_path / "program.py").write_text(PROGRAM)
    watched = [sys.executable, str(tmp_path / "program.py")]
    assert "taken [True, True, True]" in run(watched, "first")
    assert "taken [] 0" in run(watched, "second")  # of the first one's store: nothing is decoded ahead
    shutil.rmtree(tmp_path / "store")
    run([sys.executable, str(RUN), "machine.workers=1"], "third")  # whose worker decodes
    first, second, third = (
        (tmp_path / name / "facets.safetensors").read_bytes() for name in ("first", "second", "third")
    )
    assert first == second == third
