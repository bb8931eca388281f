"""Rendering: images are independent, runs repeat, a broken run goes on, several processes give what one gives."""

import copy
import os
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from small import watched
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from mfv.data import PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models.acceleration import Acceleration
from mfv.models.fusing import ConvolutionChain
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import TopicActivation, UnitActivation
from mfv.regularizers import RandomAffine, TVProx
from mfv.regularizers.base import Moment, Regularizer
from mfv.rendering import ActivationMaximizer, Octave, Recipe, UnitPart, UnitSubject, batching, bound_part, render
from mfv.rendering.fast import fast_recipe
from mfv.rendering.renderer import FacetRenderer
from mfv.schedules import value_at

STEPS = 20
FACETS = 10


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def subject(model: TargetModel) -> UnitSubject:
    source = PhotoCrops()
    preprocess = Preprocess(model.input_size, model.resize)
    rows = np.linspace(0, len(source) - 1, 2 * FACETS).astype(int)
    pixels = torch.stack([preprocess(source.load(int(row))) for row in rows])
    activations = 40 + np.arange(len(rows), dtype=np.float32)  # a natural range that no test reaches
    assignment = np.repeat(np.arange(FACETS), 2)
    return UnitSubject(model, "classifier.1", 967, None, (pixels * 255).byte(), assignment, activations)


@pytest.fixture(scope="module")
def starts(subject: UnitSubject) -> Tensor:
    pixels = subject.pixels.float() / 255
    return torch.stack([pixels[subject.assignment() == k].mean(0) for k in range(FACETS)])


def maximizer(
    model: TargetModel, subject: UnitSubject, starts: Tensor, facets: list[int], recipe: Recipe
) -> ActivationMaximizer:
    rows, recipe = torch.tensor(facets), recipe.bind(subject)
    bound = [octave.objective.bind(subject) for octave in recipe.octaves]
    return ActivationMaximizer(model, [UnitPart(recipe, bound, rows)], starts[rows], seed=3)


class HostReads(TorchDispatchMode):
    """Counts the operations that wait for a value of the device."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        return func(*args, **(kwargs or {}))


def test_a_step_never_waits_for_the_device(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    images = maximizer(model, subject, starts, [0, 1], fast_recipe(4))
    optimizer = images.recipe.make_optimizer(images.canvas)
    images.step(optimizer, 0)  # what is made once
    with HostReads() as reads:
        images.step(optimizer, 1)
        images.step(optimizer, 2)
    assert reads.count == 0


def test_what_is_remembered_moves_along(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    images = maximizer(model, subject, starts, [0, 1], fast_recipe(2))
    images.run()
    shapes = {key: memory.shape for key, memory in images.memory.items()}
    assert shapes
    images.to("meta")  # a device that every machine has
    assert {key: memory.shape for key, memory in images.memory.items()} == shapes
    assert {memory.device.type for memory in images.memory.values()} == {"meta"}


def test_an_objective_between_layers_is_not_compiled(
    model: TargetModel, subject: UnitSubject, starts: Tensor, caplog: pytest.LogCaptureFixture
) -> None:
    part = UnitPart(fast_recipe(1).bind(subject), [TopicActivation().bind(subject)], torch.tensor([0]))
    with caplog.at_level("INFO", "mfv"):
        images = ActivationMaximizer(model, [part], starts[:1], acceleration=Acceleration(compile=True))
    assert "compile is left off: the objective follows gradients from one layer to another" in caplog.text
    plain = ActivationMaximizer(model, [part], starts[:1]).run()
    assert torch.equal(images.run(), plain)


def test_ten_together_equal_ten_alone(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    recipe = fast_recipe(STEPS)
    together = maximizer(model, subject, starts, list(range(FACETS)), recipe).run()
    alone = torch.cat([maximizer(model, subject, starts, [k], recipe).run() for k in range(FACETS)])
    difference = (together - alone).abs().max().item()
    print(f"ten together against ten alone after {STEPS} steps: max difference {difference:.1e}")
    assert difference <= 1e-4
    assert (together - starts).abs().mean() > 0.02  # and they did move


def test_the_same_seed_gives_the_same_bytes(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    first, second = (maximizer(model, subject, starts, [0, 1], fast_recipe(6)).run() for _ in range(2))
    assert torch.equal(first, second)


def test_another_seed_gives_another_image(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    recipe = fast_recipe(6).bind(subject)
    bound = [octave.objective.bind(subject) for octave in recipe.octaves]
    part = UnitPart(recipe, bound, torch.tensor([0]))
    images = [ActivationMaximizer(model, [part], starts[:1], seed=s).run() for s in (0, 1)]
    assert (images[0] - images[1]).abs().max() > 0.01


def test_the_unit_rises(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    images = maximizer(model, subject, starts, [0, 1, 2], fast_recipe(60)).run()
    with torch.inference_mode():
        before, after = model(starts[:3])[:, 967], model(images)[:, 967]
    assert (after > before + 3).all()
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize("stop", [3, 7])
def test_a_broken_run_goes_on_as_if_unbroken(
    model: TargetModel,
    subject: UnitSubject,
    starts: Tensor,
    tmp_path: Path,
    killed_at: Callable[[int], AbstractContextManager[None]],
    stop: int,
) -> None:
    recipe = growing_recipe()
    options = {"progress": False, "snapshot_every": 4, "checkpoint_every": 2, "accelerator": "cpu"}
    asked = (model, recipe, subject, starts[:3])
    whole = render(*asked, directory=tmp_path / "whole", **options)

    with killed_at(stop):
        render(*asked, directory=tmp_path / "broken", **options)
    with watched() as made:
        resumed = render(*asked, directory=tmp_path / "broken", **options)

    assert min(made) == stop - stop % 2  # behind the last checkpoint
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.curves, resumed.curves)
    assert whole.snapshots.keys() == resumed.snapshots.keys() == {4, 8}


def test_four_processes_give_what_one_gives(
    model: TargetModel,
    subject: UnitSubject,
    starts: Tensor,
    tmp_path: Path,
    threads_of: Callable[[int], AbstractContextManager[None]],
) -> None:
    recipe = growing_recipe()
    options = {"progress": False, "snapshot_every": 5, "checkpoint_every": 4, "accelerator": "cpu"}
    with threads_of(4):
        one = render(model, recipe, subject, starts[:3], directory=tmp_path / "one", **options)
    # One of them has no image; two processes, of which one has more: tests/test_waves.py.
    several = render(model, recipe, subject, starts[:3], directory=tmp_path / "several", devices=4, **options)
    difference = (one.images - several.images).abs().max().item()
    print(f"four processes against one: max difference {difference:.1e}")
    assert difference <= 1e-4
    assert torch.allclose(one.curves, several.curves, atol=1e-3)
    assert torch.isfinite(several.curves).all()


class Deadly(Regularizer):
    """Kills the second process, as the system does when memory is short, before the images have moved a fourth time."""

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        if moment.iteration == 3 and torch.distributed.is_initialized() and torch.distributed.get_rank() == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return pixels


def test_a_killed_process_ends_the_others_and_the_job_goes_on_with_fewer(
    model: TargetModel,
    subject: UnitSubject,
    starts: Tensor,
    tmp_path: Path,
    threads_of: Callable[[int], AbstractContextManager[None]],
) -> None:
    octave = Octave(6, step=2.0, objective=UnitActivation(), regularizers=(RandomAffine(), TVProx(0.5), Deadly()))
    options = {"progress": False, "accelerator": "cpu", "checkpoint_every": 1}
    asked = (model, Recipe((octave,), momentum=0.5), subject, starts[:3])
    begun = time.monotonic()
    with pytest.raises(MfvError, match=r"process 1 .*SIGKILL.*want of memory.*the same command"):
        render(*asked, directory=tmp_path, devices=2, **options)
    assert time.monotonic() - begun < 60
    with threads_of(2):
        with watched() as made:
            resumed = render(*asked, directory=tmp_path, **options)
        assert min(made) == 3  # where the process was killed
        whole = render(*asked, **options)
    assert torch.allclose(resumed.images, whole.images, atol=1e-4)
    assert torch.isfinite(resumed.curves).all()


def growing_recipe() -> Recipe:
    """Return two short octaves with all that a checkpoint must keep: momentum, duals, a growing canvas, jitter."""
    regularizers = (RandomAffine(), TVProx(0.5))
    return Recipe(
        (
            Octave(4, step=2.0, objective=UnitActivation(), regularizers=regularizers),
            Octave(5, step=1.0, scale=1.2, jitter=0.3, objective=UnitActivation(), regularizers=regularizers),
        ),
        momentum=0.5,
        average=0.8,
    )


def test_the_users_network_is_no_part_of_what_lightning_moves(
    model: TargetModel, subject: UnitSubject, starts: Tensor, tmp_path: Path
) -> None:
    renderer = FacetRenderer(model, [bound_part(fast_recipe(2), subject, 2)], starts[:2], tmp_path / "result")
    assert not any(module is model or module is model.network for module in renderer.modules())


class Diary(Regularizer):
    """Notes what it draws and counts its steps in its memory."""

    def __init__(self) -> None:
        self.drawn: list[tuple[float, ...]] = []
        self.counted: list[float] = []

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        draws = (moment.uniform("diary", 1), moment.normal("diary", 1), torch.tensor(moment.seeds("diary")))
        self.drawn.append(tuple(float(each.flatten()[0]) for each in draws))
        counts = moment.recall("diary", 1) + 1
        self.counted.append(float(counts.mean()))
        moment.remember("diary", counts)
        return pixels


def test_two_regularizers_of_a_class_have_numbers_and_a_memory_each(
    model: TargetModel, subject: UnitSubject, starts: Tensor
) -> None:
    one, two, alone = Diary(), Diary(), Diary()
    for diaries in ((one, two), (alone,)):
        octave = Octave(3, regularizers=diaries)
        maximizer(model, subject, starts, [0], Recipe((octave,))).run()
    assert one.counted == two.counted == [1, 2, 3]
    assert one.drawn == alone.drawn  # what it would draw without the other
    drawn = [number for diary in (one, two) for numbers in diary.drawn for number in numbers]
    assert len(set(drawn)) == len(drawn)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_pixels_beyond_the_view_stay_pixels(
    model: TargetModel, subject: UnitSubject, starts: Tensor, optimizer: str
) -> None:
    """Momentum moves them too."""
    octave = Octave(12, step=12.0, scale=1.2, jitter=0.3, objective=UnitActivation())
    images = maximizer(model, subject, starts, [0, 1], Recipe((octave,), optimizer=optimizer, momentum=0.9))
    steps = images.recipe.make_optimizer(images.canvas)
    for step in range(12):
        images.step(steps, step)
        assert images.pixels().min() >= 0
        assert images.pixels().max() <= 1


def test_batches_through_the_network_change_no_image(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    facets, size = [0, 1, 2], 2  # one image alone, and two
    whole = maximizer(model, subject, starts, facets, growing_recipe())
    batched = maximizer(model, subject, starts, facets, replace(growing_recipe(), batch_size=size))
    assert (whole.run() - batched.run()).abs().max() <= 1e-4
    assert torch.allclose(whole.curves, batched.curves, atol=1e-3)


def test_a_batch_takes_what_fits(model: TargetModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(model)
    each = batching.kept_bytes(prepared, ["classifier.1"], model.input_size)
    leaf = torch.zeros(4, 3, model.input_size, model.input_size).requires_grad_(True)
    sizes: dict[int, int] = {}  # the slow twin: every output of a module, but for what a rectifier behind it replaces
    apart = copy.deepcopy(prepared)
    for module in list(apart.network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvolutionChain):
                setattr(module, name, nn.Sequential(*child))
    for module in apart.network.modules():
        if not list(module.children()) and not isinstance(module, nn.Conv2d):
            module.register_forward_hook(
                lambda _m, _i, out: sizes.update({out.data_ptr(): out.numel() * out.element_size()})
            )
    kept = apart(leaf)
    assert 0.5 * sum(sizes.values()) / 4 < each < 2 * sum(sizes.values()) / 4
    del kept
    monkeypatch.setattr(batching, "ON_CPU", 7.5 * batching.OVERHEAD * each)
    assert batching.images_at_once(prepared, ["classifier.1"], model.input_size) == 7
    monkeypatch.setattr(batching, "ON_CPU", 1)
    assert batching.images_at_once(prepared, ["classifier.1"], model.input_size) == 2


@pytest.mark.parametrize(("count", "size", "lengths"), [(10, 4, [3, 3, 4]), (4, 4, [4]), (1, 4, [1]), (0, 4, [])])
def test_batches_are_few_and_even(count: int, size: int, lengths: list[int]) -> None:
    slices = batching.even_slices(count, size)
    assert [part.stop - part.start for part in slices] == lengths
    assert [row for part in slices for row in range(count)[part]] == list(range(count))


@pytest.mark.parametrize(("setting", "value"), [("snapshot_every", -1), ("checkpoint_every", 0)])
def test_steps_that_cannot_be_counted_are_named(
    model: TargetModel, subject: UnitSubject, starts: Tensor, setting: str, value: int
) -> None:
    with pytest.raises(MfvError, match=rf"{setting} is {value}; it is a number of steps"):
        render(model, growing_recipe(), subject, starts, accelerator="cpu", **{setting: value})


def test_a_step_that_is_no_number_is_named() -> None:
    with pytest.raises(MfvError, match="step is 'long'"):
        Octave(3, step="long")  # type: ignore[arg-type]
    with pytest.raises(MfvError, match="'strong' is neither a number nor a schedule"):
        value_at("strong", 0, 3)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, "all", 2.5, True])
def test_a_batch_size_that_cannot_be_is_named(size: object) -> None:
    with pytest.raises(MfvError, match=r"render\.batch_size"):
        replace(growing_recipe(), batch_size=size)  # type: ignore[arg-type]


def test_the_result_is_the_mean_of_the_last_images(model: TargetModel, subject: UnitSubject, starts: Tensor) -> None:
    images = maximizer(model, subject, starts, [0, 1], growing_recipe())  # 4 + 5 steps; the last 4 are averaged
    optimizer = images.recipe.make_optimizer(images.canvas)
    seen = []
    for step in range(images.recipe.steps):
        images.step(optimizer, step)
        seen.append(images.pixels().clone())
    assert torch.allclose(images.result(), torch.stack(seen[-4:]).mean(0), atol=1e-6)
    assert not torch.equal(images.result(), images.pixels())
    last = maximizer(model, subject, starts, [0, 1], replace(growing_recipe(), average=0.0)).run()
    assert torch.equal(last, seen[-1])


def test_preparation_changes_nothing(model: TargetModel, starts: Tensor) -> None:
    with torch.inference_mode():
        expected = model.activations(starts[:2], ["features.3.conv.2", "features.13", ""])
        found = prepare(model, keep=["features.3.conv.2"]).activations(
            starts[:2], ["features.3.conv.2", "features.13", ""]
        )
    for layer, activation in expected.items():
        assert torch.allclose(found[layer], activation, atol=2e-4), layer
