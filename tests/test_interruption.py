"""Ctrl-C and a notebook's stop button: the user's network stays as it was, and what there is is kept."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import SCRIPT, Command
from test_experiment import Small, fingerprint

import mfv
import mfv.waves
from mfv.activations.collector import Collector
from mfv.interruption import Interrupted, interruptible
from mfv.rendering.fast import fast_recipe
from mfv.rendering.renderer import FacetRenderer

SMALL = ["data.photos=[coffee,cat,rocket]", "data.scales=[0.8]", "facets=3", "evaluation=none"]
STEPS = 12
IMAGES = [np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8) for k in range(20)]


def visualize(network: torch.nn.Module, directory: Path | None = None) -> mfv.Facets:
    return mfv.visualize(
        network, "two", 1, IMAGES, facets=2, input_size=32, recipe=fast_recipe(STEPS), accelerator="cpu",
        directory=directory, progress=False,
    )  # fmt: skip


@contextmanager
def interrupt_in(kind: type, method: str, call: int, times: int = 1):
    """Send this process SIGINT, as Ctrl-C does, while a method is called for the `call`-th time."""
    original, calls = getattr(kind, method), []

    def interrupting(self, *args: object) -> object:
        calls.append(1)
        if len(calls) == call:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, method, interrupting)
        yield


def test_an_interrupted_rendering_keeps_its_images_and_the_network_and_goes_on(tmp_path: Path) -> None:
    network = Small().train()
    before = fingerprint(network)
    with interrupt_in(FacetRenderer, "training_step", 5), pytest.raises(KeyboardInterrupt) as caught:
        visualize(network, tmp_path / "stopped")
    assert fingerprint(network) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    stop = caught.value
    assert isinstance(stop, Interrupted)
    assert str(stop) == "stopped at step 5 of 12"
    assert "stopped at step 5 of 12" in stop.partial._repr_html_()
    assert "sys.last_value.partial" in "".join(stop._render_traceback_())
    images = stop.partial[0].image, stop.partial.images
    assert images[0].shape == stop.partial.mean_images[0].shape
    assert not torch.equal(images[1], stop.partial.mean_images)

    made: list[int] = []
    with counted_steps(made):
        finished = visualize(network, tmp_path / "stopped")
    assert made == list(range(5, STEPS))  # no step is lost, none is made twice
    assert finished.stopped == ""
    whole = visualize(network)
    assert torch.equal(finished.images, whole.images)


@contextmanager
def counted_steps(made: list[int]):
    step = FacetRenderer.training_step

    def counting(self: FacetRenderer, batch: object, batch_idx: int) -> None:
        made.append(self.steps_done)
        step(self, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FacetRenderer, "training_step", counting)
        yield


def test_without_a_directory_the_images_so_far_are_those_of_the_error() -> None:
    network = Small().eval()
    before = fingerprint(network)
    with interrupt_in(FacetRenderer, "training_step", STEPS), pytest.raises(Interrupted) as caught:
        visualize(network)
    assert torch.equal(caught.value.partial.images, visualize(network).images)  # it was the last step
    assert fingerprint(network) == before


def test_of_many_units_the_finished_ones_and_those_in_hand_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mfv.waves, "ON_CPU", 1)  # each unit is a wave of its own

    def several(directory: Path | None = None) -> list[mfv.Facets]:
        return mfv.visualize_units(
            Small().eval(), "two", [4, 1, 2], IMAGES, facets=2, input_size=32, recipe=fast_recipe(STEPS),
            accelerator="cpu", directory=directory, progress=False,
        )  # fmt: skip

    with interrupt_in(FacetRenderer, "training_step", STEPS + 5), pytest.raises(Interrupted) as caught:
        several(tmp_path)
    assert str(caught.value) == "stopped at step 5 of 12"
    finished, begun = caught.value.partial  # of the third there is nothing yet
    whole = several()
    assert [found.unit.index for found in whole] == [4, 1, 2]
    assert finished.unit.index == 4
    assert finished.stopped == ""
    assert torch.equal(finished.images, whole[0].images)
    assert begun.unit.index == 1
    assert begun.stopped == "stopped at step 5 of 12"
    assert begun.images.shape == whole[1].images.shape
    assert not torch.equal(begun.images, whole[1].images)
    again = several(tmp_path)
    assert all(torch.equal(one.images, other.images) for one, other in zip(again, whole, strict=True))
    with interrupt_in(Collector, "predict_step", 1), pytest.raises(KeyboardInterrupt) as caught:
        several()
    assert not isinstance(caught.value, Interrupted)  # there is nothing to have


def test_who_insists_is_obeyed_at_once(tmp_path: Path) -> None:
    network = Small()
    before = fingerprint(network)
    with interrupt_in(FacetRenderer, "training_step", 3, times=2), pytest.raises(KeyboardInterrupt) as caught:
        visualize(network, tmp_path)
    assert not isinstance(caught.value, Interrupted)
    assert fingerprint(network) == before


def test_an_interrupted_collection_leaves_the_network_and_the_process_as_they_were(tmp_path: Path) -> None:
    network = Small().train()
    before = fingerprint(network)
    with interrupt_in(Collector, "predict_step", 1), pytest.raises(KeyboardInterrupt):
        visualize(network)
    assert fingerprint(network) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)  # the process still listens


def test_an_interrupt_while_clustering_or_measuring(monkeypatch: pytest.MonkeyPatch) -> None:
    import mfv.experiment as story

    network = Small().train()
    before = fingerprint(network)

    def interrupting(original: Callable) -> Callable:
        def called(*args: object, **keywords: object) -> object:
            os.kill(os.getpid(), signal.SIGINT)
            return original(*args, **keywords)

        return called

    with monkeypatch.context() as patch:
        patch.setattr(story, "codes_to_cluster", interrupting(story.codes_to_cluster))
        with pytest.raises(KeyboardInterrupt):
            visualize(network)
    with monkeypatch.context() as patch:
        patch.setattr(story, "evaluate", interrupting(story.evaluate))
        with pytest.raises(Interrupted, match="stopped at step 12 of 12") as caught:
            visualize(network)
    assert caught.value.partial.images.shape[0] == 2
    assert fingerprint(network) == before


def test_a_keyboard_interrupt_that_is_no_signal_is_not_lightnings_exit() -> None:
    def lightning() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(KeyboardInterrupt), interruptible():
        lightning()
    with pytest.raises(SystemExit), interruptible():
        sys.exit(3)
    found: list[bool] = []

    def elsewhere() -> None:  # where no signal arrives
        with interruptible() as wish:
            found.append(wish.asked)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [False]


def test_the_command_line_says_how_to_go_on(tmp_path: Path) -> None:
    asked = ["render.iterations=4000", "checkpoint_every=2", "hydra.run.dir=run", f"store.root={tmp_path}/store"]
    process = Command([*SMALL, *asked], tmp_path)
    deadline = time.monotonic() + 240
    while not (tmp_path / "run" / "render.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes get it
    output, _ = process.communicate(timeout=60)
    assert process.wait() == 130, output
    assert "Traceback" not in output
    assert "KeyboardInterrupt" not in output
    *_, said, command = output.strip().splitlines()
    assert "the same command goes on from here" in said
    state = torch.load(tmp_path / "run" / "render.ckpt", weights_only=True)["mfv"]
    assert f"stopped at step {state['steps_done']} of 4000" in said
    assert f"hydra.run.dir={tmp_path / 'run'}" in command
    assert "render.iterations=4000" in command
    assert json.loads((tmp_path / "run" / "facets.json").read_text())["unit"]["layer"]


def test_a_job_with_helpers_stops_as_shortly(tmp_path: Path) -> None:
    asked = ["layer=features.16", "unit=3-40", "machine.helpers=1", "hydra.run.dir=run", f"store.root={tmp_path}/store"]
    process = Command([*SMALL, *asked], tmp_path)
    first = tmp_path / "run" / "features.16" / "unit_0003" / "facets.json"  # the next units' codes are being clustered
    deadline = time.monotonic() + 240
    while not first.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.wait() == 130, output
    assert "Traceback" not in output
    assert "the same command goes on from here" in output


def test_an_interrupt_at_the_start_is_short_too(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *SMALL, "hydra.run.dir=run", f"store.root={tmp_path}/store"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (tmp_path / "run" / "config.yaml").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.7)  # PyTorch is being loaded
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert "Traceback" not in output
