"""A convolution with its rectifier gives the bits, and the gradient, of one after the other."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mfv.models.fusing import RectifiedConv2d, fits
from mfv.models.preparation import prepare, rectifiable
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model


def frozen(convolution: nn.Conv2d) -> nn.Conv2d:
    return convolution.requires_grad_(False)


def value_and_gradient(module: nn.Module, pixels: Tensor, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
    leaf = pixels.clone(memory_format=torch.preserve_format).requires_grad_(True)
    value = module(leaf)
    weights = torch.randn(value.shape, generator=torch.Generator().manual_seed(2)) if weights is None else weights
    return value.detach(), torch.autograd.grad((value * weights).sum(), leaf)[0]


@pytest.mark.parametrize("rectifier", [nn.ReLU(), nn.ReLU6()], ids=["relu", "relu6"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["first", "last"])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 1},
        {"kernel_size": 3, "stride": 2, "padding": 1, "bias": False},
        {"kernel_size": 3, "padding": 2, "dilation": 2, "groups": 4},
        {"kernel_size": (3, 5), "stride": (1, 2), "padding": (0, 2), "groups": 8},
    ],
    ids=["pointwise", "strided", "grouped", "uneven"],
)
def test_the_bits_are_those_of_one_after_the_other(settings, layout: torch.memory_format, rectifier: nn.Module) -> None:
    torch.manual_seed(0)
    convolution = frozen(nn.Conv2d(8, 16, **settings)).to(memory_format=layout)
    pixels = (10 * torch.randn(3, 8, 19, 17)).contiguous(memory_format=layout)
    expected, gradient = value_and_gradient(nn.Sequential(convolution, rectifier), pixels)
    given, own = value_and_gradient(RectifiedConv2d(convolution, rectifier), pixels)
    assert 0 < (expected == 0).float().mean() < 1
    assert torch.equal(given, expected)
    assert torch.equal(own, gradient)


def test_it_runs_one_after_the_other_where_that_is_all_there_is() -> None:
    torch.manual_seed(0)
    convolution, rectifier = frozen(nn.Conv2d(3, 4, 3)), nn.ReLU()
    fused, pixels = RectifiedConv2d(convolution, rectifier), torch.randn(2, 3, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused(pixels), rectifier(convolution(pixels)))
    assert fused(pixels[:0]).shape == (0, 4, 7, 7)
    double = copy.deepcopy(fused).double()
    assert torch.equal(double(pixels.double()), rectifier(convolution.double()(pixels.double())))


def test_what_does_not_fit_stays_apart() -> None:
    assert fits(frozen(nn.Conv2d(3, 4, 3)), nn.ReLU6())
    for convolution, rectifier in (
        (nn.Conv2d(3, 4, 3), nn.ReLU()),  # not frozen: its weights would get no gradient
        (frozen(nn.Conv2d(3, 4, 3, padding="same")), nn.ReLU()),
        (frozen(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), nn.ReLU()),
        (frozen(nn.Conv2d(3, 4, 3)), nn.LeakyReLU()),
        (nn.Linear(3, 4), nn.ReLU()),
    ):
        assert not fits(convolution, rectifier)


class Branching(nn.Module):
    """A convolution that feeds its rectifier only; one that goes two ways; one with an identity between."""

    def __init__(self) -> None:
        super().__init__()
        self.plain, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()
        self.forked, self.relu_forked = nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()
        self.far, self.between, self.relu_far = nn.Conv2d(4, 4, 3, padding=1), nn.Identity(), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        forked = self.forked(self.relu(self.plain(x)))
        return self.relu_far(self.between(self.far(self.relu_forked(forked) + forked))).mean((2, 3))


def test_it_is_found_where_nothing_else_looks_at_the_convolution() -> None:
    torch.manual_seed(0)
    model = TargetModel(Branching(), input_size=16)
    assert rectifiable(model.network) == [("plain", "relu"), ("far", "between", "relu_far")]
    pixels = torch.rand(2, 3, 16, 16)
    for layers in (["plain"], ["relu:in"], ["relu"], ["between"], ["far"], ["relu_far"], ["forked"]):
        expected, given = (each.activations(pixels, layers)[layers[0]] for each in (model, prepare(model, layers)))
        assert torch.equal(given, expected), layers
    assert isinstance(prepare(model, ["between"]).network.far, nn.Conv2d)


def test_the_real_network_keeps_its_bits_but_for_the_folding() -> None:
    model = torchvision_model("mobilenet_v2")
    prepared = prepare(model, keep=["features.18.0"])
    fused = [module for module in prepared.network.modules() if isinstance(module, RectifiedConv2d)]
    assert len(fused) == 34  # all its rectifiers but the one behind features.18.0
    apart = copy.deepcopy(prepared)
    for module in list(apart.network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, RectifiedConv2d):
                setattr(module, name, nn.Sequential(child.convolution, child.rectifier))
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    one, other = (value_and_gradient(each.network, pixels) for each in (apart, prepared))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
