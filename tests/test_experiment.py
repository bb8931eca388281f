"""The whole way: stages restart where they broke, the user's network stays as it was, hidden units get crops."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import mfv
from mfv.activations.collector import Collector
from mfv.data import InMemoryImages, PhotoCrops
from mfv.discovery import TSNEKMeans
from mfv.errors import MfvError
from mfv.experiment import Experiment, Machine, Result
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.models.units import resolve_unit
from mfv.rendering.fast import fast_recipe
from mfv.rendering.renderer import FacetRenderer
from mfv.structures import FacetSet

STEPS = 4


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def photos() -> PhotoCrops:
    return PhotoCrops(scales=[0.8], photos=["coffee", "cat", "rocket", "astronaut", "china"])


def experiment(model: TargetModel, photos: PhotoCrops, directory: Path, store: Path, **changes: object) -> Result:
    settings: dict = {"facets": 3, "discovery": TSNEKMeans(), "recipe": fast_recipe(STEPS)} | changes
    unit = resolve_unit(model, "classifier.1", 967)
    machine = Machine(accelerator="cpu", batch_size=8, progress=False)
    return Experiment(model, photos, machine=machine, checkpoint_every=1, **settings).run(unit, directory, store)


def assert_same(one: FacetSet, other: FacetSet) -> None:
    first, second = one.to_json(), other.to_json()
    first.pop("timing"), second.pop("timing")
    assert first == second
    assert one.images is not None
    assert other.images is not None
    assert torch.equal(one.images, other.images)


@pytest.fixture(scope="module")
def unbroken(model: TargetModel, photos: PhotoCrops, tmp_path_factory: pytest.TempPathFactory) -> Result:
    root = tmp_path_factory.mktemp("unbroken")
    return experiment(model, photos, root / "run", root / "store")


@pytest.mark.parametrize("stage", ["collect", "discover", "render", "evaluate"])
def test_a_run_killed_in_any_stage_ends_the_same(
    model: TargetModel,
    photos: PhotoCrops,
    unbroken: Result,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
) -> None:
    monkeypatch.setattr("mfv.activations.collector.fitting_shard_rows", lambda rows: 8)  # a batch
    calls: dict[str, list[int]] = {"collect": [], "discover": [], "render": []}
    kill = True

    def spy(name: str, original: Callable, stop_at: int) -> Callable:
        def called(*args: object, **keywords: object) -> object:
            if kill and stage == name and len(calls[name]) == stop_at:
                raise RuntimeError(f"killed in {name}")
            calls[name].append(1)
            return original(*args, **keywords)

        return called

    discovery = spy("discover", TSNEKMeans(), 0)
    monkeypatch.setattr(Collector, "predict_step", spy("collect", Collector.predict_step, 2))
    monkeypatch.setattr(FacetRenderer, "training_step", spy("render", FacetRenderer.training_step, 2))
    import mfv.experiment as story

    evaluate = story.evaluate

    def evaluation(*args: object, **keywords: object) -> object:
        if kill and stage == "evaluate":
            raise RuntimeError("killed in evaluate")
        return evaluate(*args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(story, "evaluate", evaluation)
    with pytest.raises(RuntimeError, match=f"killed in {stage}"):
        experiment(model, photos, tmp_path / "run", tmp_path / "store", discovery=discovery)
    kill = False
    resumed = experiment(model, photos, tmp_path / "run", tmp_path / "store", discovery=discovery)

    assert_same(unbroken.facet_set, resumed.facet_set)
    assert torch.equal(unbroken.rendering.curves, resumed.rendering.curves)
    # Nothing was done twice: each batch, the clustering and each step ran once in both attempts together.
    batches = -(-len(photos) // 8)
    assert (len(calls["collect"]), len(calls["discover"]), len(calls["render"])) == (batches, 1, STEPS)


def test_a_second_run_reads_no_image_again(
    model: TargetModel, photos: PhotoCrops, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment(model, photos, tmp_path / "one", tmp_path / "store")

    def forbidden(*args: object) -> None:
        raise AssertionError("collected again")

    monkeypatch.setattr(Collector, "predict_step", forbidden)
    experiment(model, photos, tmp_path / "two", tmp_path / "store", facets=2)


def test_what_a_run_leaves(unbroken: Result) -> None:
    facet_set = unbroken.facet_set
    document = facet_set.to_json()
    assert document["schema"] == 1
    assert set(document["unit"]) == {"model", "layer", "index", "label"}
    assert document["unit"]["label"] == "espresso"
    sizes = [entry["size"] for entry in document["facets"]]
    assert sum(sizes) == len(facet_set.ids)
    assert sizes == sorted(sizes, reverse=True)
    for entry in document["facets"]:
        assert set(entry) == {
            "index", "size", "members", "exemplars", "image", "mean_image", "activation_start",
            "activation", "probability", "is_argmax", "natural_percentile",
        }  # fmt: skip
        assert entry["exemplars"] == entry["members"][:15]
        assert 0 <= entry["natural_percentile"] <= 100
        assert 0 <= entry["probability"] <= 1
    assert facet_set.images is not None
    assert facet_set.images.shape == (3, 3, 224, 224)


def test_a_run_counts_the_values_of_all_images(unbroken: Result, photos: PhotoCrops) -> None:
    found = unbroken.facet_set
    natural = found.discovery["natural"]
    assert natural["images"] == sum(natural["counts"]) == len(photos)
    assert natural["low"] <= found.activations.min() <= found.activations.max() == pytest.approx(natural["high"])
    above = np.linspace(natural["low"], natural["high"], 49)[24]
    assert sum(natural["counts"][24:]) >= (found.activations > above).sum()


def test_too_many_facets_are_answered(model: TargetModel, photos: PhotoCrops, tmp_path: Path) -> None:
    with pytest.raises(MfvError, match="too few for 500 facets"):
        experiment(model, photos, tmp_path / "run", tmp_path / "store", facets=500)


class Small(nn.Module):
    """A user's own network: two convolutions and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.one = nn.Conv2d(3, 8, 5, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.two = nn.Conv2d(8, 6, 3)
        self.head = nn.Linear(6, 4)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.relu(self.one(x))).mean((2, 3)))


def fingerprint(network: nn.Module) -> tuple:
    hooks = [
        len(module._forward_hooks) + len(module._forward_pre_hooks) + len(module._backward_hooks)
        for module in network.modules()
    ]
    flags = [(module.training, getattr(module, "inplace", None)) for module in network.modules()]
    state = {name: tensor.numpy().tobytes() for name, tensor in network.state_dict().items()}
    parameters = [(p.requires_grad, p.grad is None, p.device.type, p.stride()) for p in network.parameters()]
    return hooks, flags, state, parameters


@pytest.mark.parametrize("breaks", [False, True])
def test_the_users_network_is_unchanged(monkeypatch: pytest.MonkeyPatch, breaks: bool) -> None:
    network = Small().train()
    before = fingerprint(network)
    images = [np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8) for k in range(20)]
    if breaks:

        def breaking(self: FacetRenderer, batch: object, batch_idx: int) -> None:
            raise RuntimeError("broken")

        monkeypatch.setattr(FacetRenderer, "training_step", breaking)
    settings: dict = {"facets": 2, "input_size": 32, "recipe": fast_recipe(2), "progress": False}
    if breaks:
        with pytest.raises(RuntimeError, match="broken"):
            mfv.visualize(network, "two", 1, images, **settings)
    else:
        result = mfv.visualize(network, "two", 1, images, **settings)
        assert result.images is not None
        assert len(result) == 2
    assert fingerprint(network) == before


def test_a_target_model_brings_its_own_settings() -> None:
    model = TargetModel(Small(), name="small", input_size=32)
    with pytest.raises(MfvError, match=r"^labels, input_size: a TargetModel \(small\) brings its own; give `network"):
        mfv.visualize(model, "two", 1, [], labels=["a"], input_size=64)


def test_a_hidden_unit_gets_its_receptive_field(tmp_path: Path) -> None:
    images = [np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8) for k in range(20)]
    result = mfv.visualize(
        Small(), "two", 1, images, facets=2, input_size=32, recipe=fast_recipe(2), directory=tmp_path, progress=False
    )
    assert result.images is not None
    assert result.images.shape[-1] == result.mean_images.shape[-1] == 5 + 2 * 2  # 5, then 3 at a stride of 2
    assert result.discovery["receptive_field"] == {"size": 9, "stride": 2, "window": 9, "margin": 0}
    for name in ("facets.json", "facets.safetensors", "contact_sheet.png", "gallery.html", "metrics.csv"):
        assert (tmp_path / name).exists()
    loaded = FacetSet.load(tmp_path)
    assert loaded.to_json() == result.to_json()
    assert loaded.images is not None
    assert torch.equal(loaded.images, result.images)


def test_the_growth_is_shown_of_what_the_unit_sees(tmp_path: Path) -> None:
    """Not with the margin that the network is shown around it."""
    layers = nn.Conv2d(3, 4, 11, stride=4, padding=2), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2)
    model = TargetModel(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), input_size=64)
    images = [np.random.default_rng(k).integers(0, 255, (64, 64, 3), dtype=np.uint8) for k in range(20)]
    experiment = Experiment(
        model, InMemoryImages(images), facets=2, discovery=TSNEKMeans(), recipe=fast_recipe(2), snapshot_every=1,
        machine=Machine(accelerator="cpu", progress=False),
    )  # fmt: skip
    result = experiment.run(resolve_unit(model, "2", 1), tmp_path)
    assert result.rendering.images.shape[-1] > result.facet_set.images.shape[-1] == 27
    assert {snapshot.shape[-1] for snapshot in result.rendering.snapshots.values()} == {27}
