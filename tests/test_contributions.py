"""What the units below add to a unit sums up to its value."""

import numpy as np
import pytest
import torch

from mfv.activations.contributions import contributions
from mfv.activations.values import unit_values
from mfv.data import PhotoCrops, Preprocess
from mfv.discovery import AttributionTSNE
from mfv.errors import MfvError
from mfv.experiment import Experiment
from mfv.machine import Machine
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.rendering.fast import fast_recipe
from mfv.structures import Unit

PHOTOS = PhotoCrops(photos=["coffee", "cat", "rocket"], scales=[0.8])


@pytest.fixture(scope="module")
def model() -> TargetModel:
    try:
        return torchvision_model("mobilenet_v2")
    except MfvError as error:
        pytest.skip(f"no weights: {error}")


@pytest.fixture(scope="module")
def windows(model: TargetModel) -> torch.Tensor:
    preprocess = Preprocess(model.input_size, model.resize)
    return torch.stack([(preprocess(PHOTOS.load(row)) * 255).round().byte() for row in range(0, len(PHOTOS), 4)])


@pytest.mark.parametrize(("layer", "position"), [("classifier.1", None), ("features.18.0", "center")])
def test_they_sum_up_to_the_value(model: TargetModel, windows: torch.Tensor, layer: str, position: str | None) -> None:
    found = contributions(model, layer, 7, position, windows)
    module = model.network.get_submodule(layer)
    assert found.shape == (len(windows), module.weight.shape[1])
    with torch.inference_mode():
        values = unit_values(model.activations(windows.float() / 255, [layer])[layer], position)[0][:, 7]
    bias = 0.0 if module.bias is None else float(module.bias[7])
    assert np.allclose(found.sum(1) + bias, values.numpy(), atol=1e-3)
    assert not any(parameter.requires_grad or parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize(("layer", "made"), [("features.18.1", "features.18.0"), ("", "classifier.1")])
def test_of_a_norm_and_of_the_output_they_are_those_of_the_layer_that_makes_them(
    model: TargetModel, windows: torch.Tensor, layer: str, made: str
) -> None:
    found = contributions(model, layer, 7, "center" if layer else None, windows[:4])
    below = contributions(model, made, 7, "center" if layer else None, windows[:4])
    assert (np.abs(found) > 0).any(0).sum() > 100
    for one, other in zip(found, below, strict=True):  # a norm scales them
        assert np.corrcoef(one, other)[0, 1] > 0.9999


def test_what_no_single_layer_makes_has_none(model: TargetModel, windows: torch.Tensor) -> None:
    with pytest.raises(MfvError, match=r"layer 'classifier\.1:in' of mobilenet_v2 is made by no single layer"):
        contributions(model, "classifier.1:in", 7, None, windows[:2])


def test_an_experiment_clusters_them_where_the_method_asks(model: TargetModel, tmp_path) -> None:
    experiment = Experiment(
        model, PHOTOS, facets=3, discovery=AttributionTSNE(iterations=250),
        recipe=fast_recipe(1), machine=Machine(accelerator="cpu", progress=False),
    )  # fmt: skip
    layer = experiment.collect("classifier.1", tmp_path / "store")
    plan = experiment.discover(layer, Unit(model.name, "classifier.1", 7, None), tmp_path)
    assert len(plan.found) == 3
    assert plan.found.discovery["method"] == "attribution"
    assert plan.found.discovery["components"] <= 50
