"""A chain of convolutions and rectifiers gives the bits, and the gradient, of one after the other."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from mfv.models.fusing import ConvolutionChain, fits
from mfv.models.preparation import chainable, prepare
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
    given, own = value_and_gradient(ConvolutionChain(convolution, rectifier), pixels)
    assert 0 < (expected == 0).float().mean() < 1
    assert torch.equal(given, expected)
    assert torch.equal(own, gradient)


def test_a_chain_is_all_of_its_convolutions_one_after_the_other() -> None:
    torch.manual_seed(0)
    expand, project = frozen(nn.Conv2d(8, 24, 1)), frozen(nn.Conv2d(24, 6, 1))
    middle = frozen(nn.Conv2d(24, 24, 3, stride=2, padding=1, groups=24, bias=False))
    modules = [expand, nn.ReLU6(), middle, nn.ReLU(), project]
    pixels = (10 * torch.randn(3, 8, 19, 17)).contiguous(memory_format=torch.channels_last)
    for length in (2, 3, 4, 5):
        some = [module.to(memory_format=torch.channels_last) for module in modules[:length]]
        expected, gradient = value_and_gradient(nn.Sequential(*some), pixels)
        given, own = value_and_gradient(ConvolutionChain(*some), pixels)
        assert torch.equal(given, expected), length
        assert torch.equal(own, gradient), length


def test_a_gradient_that_others_hold_is_not_changed() -> None:
    torch.manual_seed(0)
    chain = ConvolutionChain(*(part for _ in range(2) for part in (frozen(nn.Conv2d(4, 4, 1)), nn.ReLU())))
    leaf = torch.randn(2, 4, 9, 9).contiguous(memory_format=torch.channels_last).requires_grad_(True)
    value = chain(leaf)
    weights = torch.randn(value.shape).contiguous(memory_format=torch.channels_last)
    before = weights.clone()
    (first,) = torch.autograd.grad(value, leaf, weights, retain_graph=True)
    assert torch.equal(weights, before)
    assert torch.equal(torch.autograd.grad(value, leaf, weights)[0], first)


def test_it_runs_one_after_the_other_where_that_is_all_there_is() -> None:
    torch.manual_seed(0)
    convolution, rectifier = frozen(nn.Conv2d(3, 4, 3)), nn.ReLU()
    fused, pixels = ConvolutionChain(convolution, rectifier), torch.randn(2, 3, 9, 9)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(fused(pixels), rectifier(convolution(pixels)))
    assert fused(pixels[:0]).shape == (0, 4, 7, 7)
    double = copy.deepcopy(fused).double()
    assert torch.equal(double(pixels.double()), rectifier(convolution.double()(pixels.double())))


@contextmanager
def by_threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gradient(prepared: TargetModel, layer: str, pixels: Tensor) -> Tensor:
    """Return the gradient of the layer's mean square on each image."""
    some = pixels.contiguous(memory_format=torch.channels_last).requires_grad_(True)
    values = prepared.activations(some, [layer])[layer].square().mean((1, 2, 3))
    return torch.autograd.grad(values.sum(), some)[0]


@pytest.mark.parametrize("threads", [2, 3, 4])
@pytest.mark.parametrize(("name", "side"), [("mobilenet_v2", 32), ("mobilenet_v2", 96), ("resnet18", 64)])
def test_several_threads_give_an_image_the_gradient_that_it_has_beside_others(
    name: str, side: int, threads: int
) -> None:
    model = torchvision_model(name, weights="none")
    layer = "features.7" if name == "mobilenet_v2" else "layer2.1"
    prepared = prepare(model, keep=[layer])
    pixels = torch.rand(7, 3, side, side, generator=torch.Generator().manual_seed(0))
    with by_threads(threads):
        whole = gradient(prepared, layer, pixels)
        for count in range(2, 7):
            assert torch.equal(gradient(prepared, layer, pixels[:count]), whole[:count])


@pytest.mark.parametrize(("name", "layer"), [("mobilenet_v2", "features.12"), ("resnet50", "layer2.1")])
def test_one_thread_gives_an_image_the_gradient_that_it_has_among_many(name: str, layer: str) -> None:
    prepared = prepare(torchvision_model(name, weights="none"), keep=[layer])
    pixels = torch.rand(20, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with by_threads(1):
        whole = gradient(prepared, layer, pixels)
        for count in (2, 10, 15, 16, 17):
            assert torch.equal(gradient(prepared, layer, pixels[:count]), whole[:count])


def test_what_does_not_fit_stays_apart() -> None:
    assert fits(frozen(nn.Conv2d(3, 4, 3)), nn.ReLU6())
    assert fits(nn.ReLU6(), frozen(nn.Conv2d(3, 4, 3)))
    for convolution, rectifier in (
        (nn.Conv2d(3, 4, 3), nn.ReLU()),  # not frozen: its weights would get no gradient
        (frozen(nn.Conv2d(3, 4, 3, padding="same")), nn.ReLU()),
        (frozen(nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect")), nn.ReLU()),
        (frozen(nn.Conv2d(3, 4, 3)), nn.LeakyReLU()),
        (nn.Linear(3, 4), nn.ReLU()),
        (frozen(nn.Conv2d(3, 4, 3)), frozen(nn.Conv2d(4, 4, 3))),
    ):
        assert not fits(convolution, rectifier)
        assert not fits(rectifier, convolution)


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
    assert chainable(model.network) == [("plain", "relu"), ("relu", "forked"), ("far", "between", "relu_far")]
    pixels = torch.rand(2, 3, 16, 16)
    for layers in (["plain"], ["relu:in"], ["relu"], ["between"], ["far"], ["relu_far"], ["forked"]):
        expected, given = (each.activations(pixels, layers)[layers[0]] for each in (model, prepare(model, layers)))
        assert torch.equal(given, expected), layers
    assert isinstance(prepare(model, ["between"]).network.far, nn.Conv2d)


def test_a_part_of_the_network_that_is_asked_for_ends_where_it_ended() -> None:
    torch.manual_seed(0)
    inner = [nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3)) for _ in range(2)]
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), inner[0], nn.ReLU(), inner[1], nn.Flatten())
    model = TargetModel(network, input_size=16)
    pixels = torch.rand(2, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    for layer in ("2", "2:in", "3", "4:in", "4", "2.1"):
        prepared = prepare(model, [layer])
        assert torch.equal(prepared.activations(pixels, [layer])[layer], model.activations(pixels, [layer])[layer]), (
            layer
        )
    assert chains_of(prepare(model)) == [9]  # all of it
    assert chains_of(prepare(model, ["2"])) == [2, 3, 3]  # nothing across the border of what is asked for


def chains_of(model: TargetModel) -> list[int]:
    return [len(module) for module in model.network.modules() if isinstance(module, ConvolutionChain)]


def test_the_real_network_keeps_its_bits_but_for_the_folding() -> None:
    model = torchvision_model("mobilenet_v2")
    prepared = prepare(model, keep=["features.18.0"])
    assert chains_of(prepared) == [*[5] * 17, 1]  # the stem and the first block, a chain for each block, the last one
    apart = copy.deepcopy(prepared)
    for module in list(apart.network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, ConvolutionChain):
                setattr(module, name, nn.Sequential(*child))
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    one, other = (value_and_gradient(each.network, pixels) for each in (apart, prepared))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])


class Asking(nn.Module):
    """A network that reads its modules' weights, as timm's EdgeNeXt does to know their type."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        one = self.one(x.to(self.one.weight.dtype))
        return self.relu(self.two(one)).flatten(1) * self.two.out_channels


def test_a_chain_has_what_its_first_convolution_has() -> None:
    torch.manual_seed(0)
    model = TargetModel(Asking(), input_size=8)
    prepared, pixels = prepare(model), torch.rand(2, 3, 8, 8)
    assert chains_of(prepared) == [1, 2]
    assert torch.equal(prepared(pixels), model(pixels))
    with pytest.raises(AttributeError, match="'Conv2d' object has no attribute 'nothing'"):
        _ = prepared.network.one.nothing
    assert copy.deepcopy(prepared.network.two).padding == (0, 0)
