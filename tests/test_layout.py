"""Channels last or first: the same function, in the layout that is soonest."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfv.data import PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models.acceleration import Acceleration
from mfv.models.batches import shown
from mfv.models.layout import MANY, lay_out, soonest
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import UnitActivation
from mfv.regularizers import TVProx
from mfv.rendering import ActivationMaximizer, UnitPart, UnitSubject, one_octave_recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda")
FEW, LAYER = 2000, "classifier.1"


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def photographs(model: TargetModel) -> Tensor:
    source, preprocess = PhotoCrops(), Preprocess(model.input_size, model.resize)
    return torch.stack([(preprocess(source.load(row)) * 255).byte() for row in (0, 100, 300)])


def is_channels_last(network: nn.Module) -> bool:
    weights = [module.weight for module in network.modules() if isinstance(module, nn.Conv2d)]
    large = [weight for weight in weights if min(weight.shape[1:]) > 1]  # others lie alike either way
    return all(weight.is_contiguous(memory_format=torch.channels_last) for weight in large)


@pytest.mark.parametrize(
    ("device", "gradients", "layout"),
    [
        (CPU, 0, "channels_last"),
        (CPU, FEW, "channels_last"),
        (GPU, 0, "channels_first"),
        (GPU, FEW, "channels_first"),
        (GPU, MANY, "channels_last"),
    ],
)
def test_a_few_images_on_a_gpu_do_not_wait_for_kernels(
    model: TargetModel, device: torch.device, gradients: int, layout: str
) -> None:
    assert soonest(model.network, device, gradients) == layout
    assert soonest(prepare(model).network, device, gradients) == layout  # also where it is joined into chains
    assert soonest(nn.Conv2d(3, 8, 3), device, gradients) == "channels_last"  # nothing is compiled for it


def test_both_layouts_give_the_same(model: TargetModel, photographs: Tensor) -> None:
    found = {}
    for layout, last in (("channels_last", True), ("channels_first", False)):
        prepared = prepare(model, keep=[LAYER])
        lay_out(prepared, layout=layout)
        pixels = shown(photographs, prepared, 5)
        assert is_channels_last(prepared.network) == last == pixels.is_contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            found[layout] = prepared.activations(pixels, [LAYER])[LAYER]
    assert torch.allclose(*found.values(), rtol=1e-3, atol=1e-3)
    assert is_channels_last(model.network)  # the user's stays as it is


def test_a_rendering_takes_the_layout_that_is_asked_for(model: TargetModel, photographs: Tensor) -> None:
    recipe = one_octave_recipe(
        iterations=2,
        step=2.0,
        objectives={"unit": {"weight": 1.0, "objective": UnitActivation()}},
        regularizers={"tv": TVProx(0.3)},
    )
    starts = photographs[:2] / 255
    subject = UnitSubject(model, LAYER, 281, None, photographs, torch.tensor([0, 1, 1]).numpy(), torch.zeros(3).numpy())
    moved = {}
    for layout in ("auto", "channels_first"):
        bound = recipe.bind(subject)
        part = UnitPart(bound, [octave.objective.bind(subject) for octave in bound.octaves], torch.arange(2))
        loop = ActivationMaximizer(model, [part], starts, acceleration=Acceleration(layout=layout))
        moved[layout] = (loop.run() - starts).flatten(1)
        assert is_channels_last(loop.model.network) == (layout == "auto")
    assert F.cosine_similarity(*moved.values()).min() > 0.99


def test_an_unknown_layout_is_answered() -> None:
    with pytest.raises(MfvError, match=r"machine\.layout is 'channels'; did you mean channels_last\?"):
        Acceleration(layout="channels")
