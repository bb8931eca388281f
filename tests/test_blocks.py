"""Forward passes in oneDNN's layout: the same function, of each image its own bits, where it pays and nowhere else."""

import pytest
import torch
from torch import Tensor, nn

from mfv.data import PhotoCrops, Preprocess
from mfv.models.batches import shown
from mfv.models.blocks import BlockedChain
from mfv.models.layout import lay_out
from mfv.models.preparation import leaves_norms_folded, prepare
from mfv.models.target import TargetModel
from mfv.models.timm import efficientnet_lite
from mfv.models.torchvision import torchvision_model

pytestmark = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="done on processors with AVX alone"
)
NAMES = ["mobilenet_v2", "efficientnet_lite0"]


def of(name: str) -> tuple[TargetModel, list[str]]:
    if name == "mobilenet_v2":
        return torchvision_model(name), ["features.7.conv.0", "features.13", "features.18", "classifier.1:in", ""]
    return efficientnet_lite(0), ["bn1", "blocks.3.1", "blocks.4.0", "conv_head", "classifier:in", "prob"]


def for_passes(model: TargetModel, layers: list[str], folded: bool = True) -> TargetModel:
    prepared = prepare(model, layers, folded=folded, gradients=False)
    lay_out(prepared)
    return prepared


def blocked(model: TargetModel) -> list[BlockedChain]:
    return [module for module in model.network.modules() if isinstance(module, BlockedChain)]


def photographs(model: TargetModel, count: int) -> Tensor:
    source, preprocess = PhotoCrops(), Preprocess(model.input_size, model.resize)
    pixels = torch.stack([(preprocess(source.load(row)) * 255).byte() for row in range(0, 40 * count, 40)])
    return shown(pixels, model, count)


@pytest.mark.parametrize("name", NAMES)
def test_every_layer_gives_what_it_gives_in_the_network(name: str) -> None:
    model, layers = of(name)
    prepared, pixels = for_passes(model, layers), photographs(model, 4)
    assert len(blocked(prepared)) > 15
    with torch.inference_mode():
        expected, given = (each.activations(pixels, layers) for each in (model, prepared))
    for layer in layers:
        assert given[layer].layout == torch.strided
        error = (given[layer] - expected[layer]).abs().max() / expected[layer].std()
        assert error < 1e-3, layer
    assert not blocked(model)


@pytest.mark.parametrize("side", [64, 96])
@pytest.mark.parametrize("name", NAMES)
def test_an_image_has_the_same_bits_in_any_batch_and_by_any_number_of_threads(name: str, side: int) -> None:
    model, layers = of(name)
    prepared = for_passes(model, layers)
    pixels = torch.rand(20, 3, side, side, generator=torch.Generator().manual_seed(0))
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    before = torch.get_num_threads()
    try:
        with torch.inference_mode():
            whole = prepared.activations(pixels, layers)
            for threads in (1, 2, 3, 4):
                torch.set_num_threads(threads)
                for count in (1, 2, 7, 15, 16, 20):
                    some = prepared.activations(pixels[:count], layers)
                    assert all(torch.equal(some[layer], whole[layer][:count]) for layer in layers), (threads, count)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        (
            "mobilenet_v2",
            ["features.0.2", "features.1.conv.0.2:in", "features.7.conv.1.2", "features.18.2", "features.5"],
        ),
        (
            "efficientnet_lite0",
            ["bn1.act", "bn1", "blocks.1.0.bn2.act:in", "blocks.4.1.bn1", "conv_stem", "blocks.5.1"],
        ),
    ],
)
def test_the_codes_bits_do_not_depend_on_what_else_is_asked_for(name: str, asked: list[str]) -> None:
    model, code = of(name)[0], of(name)[0].code_layer
    norms = leaves_norms_folded(model, asked, [code])
    pixels = photographs(model, 2)
    with torch.inference_mode():
        expected = for_passes(model, [code]).activations(pixels, [code])[code]
        for layer, all_norms in zip(asked, norms, strict=True):
            prepared = for_passes(model, [layer, code], folded=all_norms)
            found, given = (each.activations(pixels, [layer, code]) for each in (prepared, model))
            assert bool(blocked(prepared)) == torch.equal(found[code], expected) == all_norms, layer
            error = (found[layer] - given[layer]).abs().max() / given[layer].std()
            assert error < 1e-3, layer
    assert sum(norms) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_is_that_of_a_copy_for_gradients(name: str) -> None:
    model, layers = of(name)
    found: list[list[Tensor]] = []
    for prepared in (prepare(model, layers), for_passes(model, layers)):
        lay_out(prepared)
        pixels, leaves = photographs(model, 2).requires_grad_(True), []
        middle = prepared.network.get_submodule("features.5" if name == "mobilenet_v2" else "blocks.2")
        handle = middle.register_forward_hook(lambda _module, _given, out, to=leaves: to.append(out) or out)
        value = prepared.activations(pixels, layers)["" if "" in layers else "prob"]
        handle.remove()
        found.append(list(torch.autograd.grad(value.square().sum(), [pixels, leaves[0]])))
    for one, other in zip(*found, strict=True):
        assert torch.nn.functional.cosine_similarity(one.flatten(1), other.flatten(1)).min() > 0.999


class Block(nn.Module):
    """An inverted residual block; what is added is what a subclass says."""

    def __init__(self, channels: int = 8) -> None:
        super().__init__()
        wide = 3 * channels
        self.expand, self.relu1 = nn.Conv2d(channels, wide, 1), nn.ReLU6()
        self.deep, self.relu2 = nn.Conv2d(wide, wide, 3, padding=1, groups=wide), nn.ReLU6()
        self.narrow, self.dropout = nn.Conv2d(wide, channels, 1), nn.Dropout(0.2)

    def ahead(self) -> list[nn.Module]:
        return [self.expand, self.relu1, self.deep, self.relu2, self.narrow, nn.ReLU()]

    def within(self, x: Tensor) -> Tensor:
        return self.dropout(self.narrow(self.relu2(self.deep(self.relu1(self.expand(x))))))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.within(x)


class InPlace(Block):
    def forward(self, x: Tensor) -> Tensor:
        out = self.within(x)
        out += x
        return torch.add(out, x)


class Scaled(Block):
    """A number is no map."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(x, self.within(x), alpha=2)


class Halved(Block):
    """What is cut goes back to PyTorch's layout, and what comes behind it does not return."""

    def forward(self, x: Tensor) -> Tensor:
        return self.within(x)[:, ::1]


class Uneven(Block):
    """Strides, gaps, no bias, and channels that fill no block."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Conv2d(24, 24, (3, 5), (1, 2), (2, 4), dilation=2, groups=24, bias=False)
        self.narrow = nn.Conv2d(24, 8, 1, bias=False)
        self.odd, self.back = nn.Conv2d(8, 13, 3), nn.Conv2d(13, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.back(self.odd(self.within(x)))


class Ahead(nn.Sequential):
    """What comes before the depthwise convolutions, and does not stay in the layout."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.MaxPool2d(2))


class Broadcast(Block):
    """A sum of maps of different sizes, which oneDNN does not make."""

    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Conv2d(8, 8, 16, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        given = self.within(x)
        return given + self.all(given)


class Twice(Block):
    def forward(self, x: Tensor) -> Tensor:
        return self.within(self.within(x))


def network(*blocks: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    begin, end = [nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()], [nn.Conv2d(8, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*begin, *blocks, *end)


@pytest.mark.parametrize(
    ("blocks", "chains"),
    [
        ([Block(), Block()], 4),  # a chain each, and one on both sides
        ([InPlace(), InPlace()], 4),
        ([Block(), Halved()], 3),  # the last one is given PyTorch's layout, and stays in it
        ([Uneven(), Block()], 5),  # the first one goes through
        ([*Block().ahead()], 1),  # no sum: all is one chain
        ([Halved(), Block()], 0),  # would go back and forth
        ([Scaled(), Block()], 0),
        ([Broadcast()], 0),
        ([Twice()], 0),
        ([Ahead(), nn.Conv2d(8, 8, 1), Block()], 3),
        ([Block(), nn.Conv2d(8, 8, 3, 2, 1, groups=2)], 0),  # sums in an order that the number of images decides
        ([nn.Conv2d(8, 4, 1), nn.ReLU(), Block(4), nn.Conv2d(4, 8, 1)], 0),  # fewer channels than a block has
        ([nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 1)], 0),  # no channel by itself
    ],
    ids=lambda value: "-".join(type(each).__name__ for each in value) if isinstance(value, list) else "",
)
def test_what_stays_in_the_layout_follows_from_who_takes_it(blocks: list[nn.Module], chains: int) -> None:
    model = TargetModel(network(*blocks), input_size=16)
    prepared = for_passes(model, [])
    assert len(blocked(prepared)) == chains
    pixels = torch.rand(3, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        torch.testing.assert_close(prepared(pixels), model(pixels), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "layer", ["0", "1", "2.0", "2.1:in", "2.2", "3", "4.expand", "4.relu1", "4.deep", "5", "7", "8:in"]
)
def test_nor_does_it_depend_on_convolutions_elsewhere(layer: str) -> None:
    begin = list(network(Ahead(), nn.Conv2d(8, 8, 1), Block()))[:6]
    head = [nn.AdaptiveAvgPool2d(2), nn.Conv2d(6, 6, 1), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.Flatten()]
    model = TargetModel(nn.Sequential(*begin, *head), input_size=16, code_layer="5")
    pixels = torch.rand(3, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        found = [for_passes(model, keep).activations(pixels, ["5"])["5"] for keep in (["5"], ["5", layer])]
    assert len(blocked(for_passes(model, ["5"]))) == 3
    assert torch.equal(*found)


def test_a_first_convolution_of_each_channel_by_itself_is_none_that_gains() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 3, 5, padding=2, groups=3), torchvision_model("resnet18", weights="none").network
    )
    assert not blocked(for_passes(TargetModel(network, input_size=64), []))


@pytest.mark.parametrize("name", ["resnet18", "convnext_tiny", "densenet121", "googlenet", "squeezenet1_1"])
def test_others_stay_as_they_are(name: str) -> None:
    assert not blocked(for_passes(torchvision_model(name, weights="none"), []))


def test_it_is_for_passes_alone_whose_norms_are_folded_and_for_processors_that_were_measured(monkeypatch) -> None:
    model = torchvision_model("mobilenet_v2", weights="none")
    assert blocked(for_passes(model, []))
    assert not blocked(prepare(model))
    assert not blocked(for_passes(model, [], folded=False))
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "DEFAULT")
    assert not blocked(for_passes(model, []))
