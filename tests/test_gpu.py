"""On a GPU: the same work as on the CPU, twice the same bytes, and no waiting. Skipped where there is none."""

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mfv import fork_server, processes
from mfv.activations.collector import Wanted, collect_layers
from mfv.api import visualize
from mfv.data import PhotoCrops, Preprocess
from mfv.models import passes
from mfv.models.acceleration import Acceleration
from mfv.models.graphs import graphed
from mfv.models.passes import fastest_pass, gradient, in_half_precision, plain_pass, repeatable
from mfv.models.preparation import foldable, prepare
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import ClassMargin, FacetAnchor, TopicActivation, UnitActivation
from mfv.objectives.base import Objective
from mfv.regularizers import GaussianNoise, PatchPrior, RandomAffine, RandomScale, SpectralGradient, TVProx
from mfv.rendering import ActivationMaximizer, Recipe, UnitPart, UnitSubject, bound_part, one_octave_recipe, render

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="this machine has no GPU that PyTorch sees")

LAYERS = ["features.13", "classifier.1:in", "classifier.1"]
CLASS = 281  # tabby
FACETS = 3


@pytest.fixture(scope="module")
def on_cpu() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def model(on_cpu: TargetModel) -> TargetModel:
    return torchvision_model("mobilenet_v2").to("cuda")


@pytest.fixture(scope="module")
def photographs(on_cpu: TargetModel) -> Tensor:
    source, preprocess = PhotoCrops(), Preprocess(on_cpu.input_size, on_cpu.resize)
    return torch.stack([preprocess(source.load(row)) for row in range(0, 360, 30)])


@pytest.fixture(scope="module")
def subject(model: TargetModel, photographs: Tensor) -> UnitSubject:
    with torch.inference_mode():
        values = model.activations(photographs.cuda(), ["classifier.1"])["classifier.1"][:, CLASS].cpu().numpy()
    assignment = np.arange(len(photographs)) % FACETS
    return UnitSubject(model, "classifier.1", CLASS, None, (photographs * 255).byte(), assignment, values)


@contextmanager
def exact() -> Iterator[None]:
    """Compute in float32 itself, not in TF32."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield


def loop(subject: UnitSubject, photographs: Tensor, recipe: Recipe, **settings: object) -> ActivationMaximizer:
    bound = recipe.bind(subject)
    objectives = [octave.objective.bind(subject) for octave in bound.octaves]
    part = UnitPart(bound, objectives, torch.arange(FACETS))
    starts = photographs[:FACETS]
    return ActivationMaximizer(subject.model, [part], starts, **settings).to("cuda")  # type: ignore[arg-type]


def recipe_of(*objectives: Objective, iterations: int = 6, **regularizers: object) -> Recipe:
    return one_octave_recipe(
        iterations=iterations,
        step=2.0,
        objectives={str(i): {"weight": 1.0, "objective": each} for i, each in enumerate(objectives)},
        regularizers=regularizers or {"affine": RandomAffine(exact=False), "tv": TVProx(0.3)},
    )


def test_norms_are_folded_on_a_gpu_too(model: TargetModel) -> None:
    assert foldable(model.network)
    prepared = prepare(model, keep=LAYERS)
    assert prepared.mean.device.type == "cuda"
    kinds = [type(module).__name__ for module in prepared.network.features[1:13].modules()]
    assert "BatchNorm2d" not in kinds
    assert next(model.parameters()).device.type == "cuda"


def test_the_gradient_is_the_cpus(model: TargetModel, on_cpu: TargetModel, photographs: Tensor) -> None:
    there = gradient(plain_pass(prepare(on_cpu, keep=LAYERS), LAYERS), photographs)
    with exact():
        here = gradient(plain_pass(prepare(model, keep=LAYERS), LAYERS), photographs.cuda()).cpu()
    assert F.cosine_similarity(here.flatten(1), there.flatten(1)).min() > 0.999


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_recorded_pass_gives_the_same(model: TargetModel, photographs: Tensor, precision: str) -> None:
    prepared, pixels = prepare(model, keep=LAYERS), photographs.cuda()
    plain = plain_pass(prepared, LAYERS)
    if precision != "float32":
        plain = in_half_precision(plain, torch.float16)
    with repeatable():
        recorded = graphed(plain, pixels)
        for shown in (pixels, pixels.flip(0), pixels[:5]):  # the last one is of another shape
            with torch.no_grad():
                expected, given = plain(shown), {layer: values.clone() for layer, values in recorded(shown).items()}
            assert all(torch.equal(given[layer], expected[layer]) for layer in LAYERS)
            for layers in (LAYERS, LAYERS[:1]):  # also where not all layers have a gradient
                one = gradient(lambda p, layers=layers: {n: plain(p)[n] for n in layers}, shown)
                other = gradient(lambda p, layers=layers: {n: recorded(p)[n] for n in layers}, shown)
                assert torch.equal(one, other)


def test_a_gradient_outlives_the_next_replay(model: TargetModel, photographs: Tensor) -> None:
    pixels = photographs.cuda()
    recorded = graphed(plain_pass(prepare(model, keep=LAYERS), LAYERS), pixels)
    first = gradient(recorded, pixels)
    kept = first.clone()
    gradient(recorded, pixels.flip(0))
    assert torch.equal(first, kept)


@pytest.mark.parametrize(("recorded", "name"), [(1.0, "graphed"), (3.0, "<lambda>")])
def test_a_graph_is_taken_where_it_is_faster(
    model: TargetModel, photographs: Tensor, monkeypatch: pytest.MonkeyPatch, recorded: float, name: str
) -> None:
    seconds = iter([2.0, recorded] * passes.ROUNDS)  # without and with it, in turn
    monkeypatch.setattr(passes, "_seconds", lambda run, pixels: next(seconds))
    chosen = fastest_pass(prepare(model, keep=LAYERS), LAYERS, photographs.cuda(), Acceleration())
    assert chosen.__name__ == name


@pytest.mark.parametrize(
    ("batch_size", "layout"), [("auto", "channels_first"), ("auto", "channels_last"), (2, "channels_first")]
)
def test_twice_the_same_bytes(subject: UnitSubject, photographs: Tensor, batch_size: int | str, layout: str) -> None:
    recipe = replace(recipe_of(UnitActivation(), FacetAnchor("middle")), batch_size=batch_size)
    acceleration = Acceleration(layout=layout)
    one, other = (loop(subject, photographs, recipe, acceleration=acceleration).run() for _ in range(2))
    assert torch.equal(one, other)
    assert (one.cpu() - photographs[:FACETS]).abs().mean() > 0.01


def test_an_image_begins_as_on_the_cpu(subject: UnitSubject, on_cpu: TargetModel, photographs: Tensor) -> None:
    # Later, rectifiers multiply the last bits' differences, as between seeds.
    recipe = recipe_of(UnitActivation(), FacetAnchor("middle"), iterations=2)
    with exact():
        here = loop(subject, photographs, recipe).run().cpu()
    bound = recipe.bind(subject)
    objectives = [octave.objective.bind(subject) for octave in bound.octaves]
    part = UnitPart(bound, objectives, torch.arange(FACETS))
    there = ActivationMaximizer(on_cpu, [part], photographs[:FACETS]).run()
    one, other = ((images - photographs[:FACETS]).flatten(1) for images in (here, there))
    assert F.cosine_similarity(one, other).min() > 0.99


def make_steps_without_waiting(images: ActivationMaximizer) -> None:
    optimizer = images.recipe.make_optimizer(images.canvas)
    images.step(optimizer, 0)  # what is made once
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in (1, 2, 3):
            images.step(optimizer, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "regularizers",
    [
        {"affine": RandomAffine(exact=False), "spectrum": SpectralGradient(0.5, 0.5, 1.5), "tv": TVProx(0.3, most=2.0)},
        {"scale": RandomScale([0.9, 1.1])},
        {"noise": GaussianNoise(5.0)},
        {"patches": PatchPrior(0.1)},
    ],
    ids=lambda regularizers: next(iter(regularizers)),
)
def test_no_step_waits_for_the_device(subject: UnitSubject, photographs: Tensor, regularizers: dict) -> None:
    images = loop(subject, photographs, recipe_of(UnitActivation(), FacetAnchor("codes"), **regularizers))
    make_steps_without_waiting(images)


def test_no_step_of_several_units_waits_either(subject: UnitSubject, photographs: Tensor) -> None:
    regularizers = {"affine": RandomAffine(exact=False), "tv": TVProx(0.3, most=2.0)}
    recipe = recipe_of(ClassMargin(), FacetAnchor("codes", cap=90, rivals=0.5), **regularizers)
    parts = []
    for index in (CLASS, CLASS + 1, CLASS + 4):
        other = copy.copy(subject)
        other.index = index
        parts.append(bound_part(recipe, other, FACETS))
    starts = photographs[:FACETS].repeat(len(parts), 1, 1, 1)
    images = ActivationMaximizer(subject.model, parts, starts).to("cuda")
    assert len(images.parts.parts) == 1
    make_steps_without_waiting(images)


def test_an_objective_between_layers_is_not_shown_by_a_graph(subject: UnitSubject, photographs: Tensor) -> None:
    recipe = recipe_of(TopicActivation(), UnitActivation())
    images = loop(subject, photographs, recipe, acceleration=Acceleration(compile=True))
    before = images.pixels().clone()
    assert (images.run() - before).abs().mean() > 0.01


def test_a_broken_rendering_goes_on_as_if_unbroken(
    subject: UnitSubject,
    photographs: Tensor,
    tmp_path: Path,
    killed_at: Callable[[int], AbstractContextManager[None]],
) -> None:
    recipe = recipe_of(UnitActivation(), FacetAnchor("middle"), iterations=8)
    asked = (subject.model, recipe, subject, photographs[:FACETS])
    options = {"progress": False, "snapshot_every": 4, "checkpoint_every": 2}
    whole = render(*asked, directory=tmp_path / "whole", **options)
    with killed_at(5):
        render(*asked, directory=tmp_path / "broken", **options)
    resumed = render(*asked, directory=tmp_path / "broken", **options)
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.curves, resumed.curves)


def test_the_codes_are_the_cpus(on_cpu: TargetModel, tmp_path: Path) -> None:
    source = PhotoCrops(photos=["cat", "coffee"])
    codes = []
    for place in ("gpu", "cpu"):
        wanted, root = [Wanted("features.18")], tmp_path / place
        with exact():
            store = collect_layers(on_cpu, wanted, source, root, accelerator=place, progress=False)[0]
        codes.append(torch.from_numpy(store.codes(range(len(source)))).float())
    assert F.cosine_similarity(*codes).min() > 0.999


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let stages work in a process that is copied from the server's, as each of several devices has one."""

    def begin() -> None:
        fork_server.begin_loading()
        one = processes.ShardedStrategy(fork_server.START_METHOD)
        monkeypatch.setattr(processes, "strategy", lambda devices, num_nodes: one)

    return begin


@pytest.mark.parametrize("place", ["cpu", "cuda"])
def test_a_copied_process_paints_the_same(
    subject: UnitSubject, on_cpu: TargetModel, photographs: Tensor, copied: Callable[[], None], place: str
) -> None:
    model = subject.model if place == "cuda" else on_cpu
    asked = (model, recipe_of(UnitActivation(), FacetAnchor("middle")), subject, photographs[:FACETS])
    options = {"accelerator": "gpu", "progress": False}
    here = render(*asked, **options)
    copied()
    there = render(*asked, **options)
    assert torch.equal(here.images, there.images)
    assert torch.equal(here.curves, there.curves)


def test_a_copied_process_collects_the_same(on_cpu: TargetModel, tmp_path: Path, copied: Callable[[], None]) -> None:
    source, codes = PhotoCrops(photos=["cat"]), []
    for place in ("here", "there"):
        if place == "there":
            copied()
        wanted, root = [Wanted("features.18")], tmp_path / place
        store = collect_layers(on_cpu, wanted, source, root, accelerator="gpu", progress=False)[0]
        codes.append(torch.from_numpy(store.codes(range(len(source)))))
    assert torch.equal(*codes)


def test_a_run_on_a_gpu_finds_and_paints_facets(on_cpu: TargetModel) -> None:
    recipe = recipe_of(UnitActivation(), FacetAnchor("codes"), iterations=30)
    found = visualize(on_cpu, "features.18", 792, PhotoCrops(), facets=4, recipe=recipe, progress=False)
    assert len(found.facets) == 4
    assert all(facet.activation > facet.activation_start for facet in found.facets)
