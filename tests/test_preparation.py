"""The prepared copy is the same function with fewer operations, whatever the network's shape."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torchvision
from torch import Tensor, nn

from mfv.errors import MfvError
from mfv.models.preparation import foldable, leaves_norms_folded, prepare
from mfv.models.target import TargetModel
from mfv.models.timm import efficientnet_lite
from mfv.models.torchvision import torchvision_model


def with_statistics(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give the batch norms of an untrained network statistics that matter."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias):
                tensor.data = 0.1 * torch.randn(tensor.shape, generator=generator)
            for tensor in (module.running_var, module.weight):
                tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator)
    return network.eval()


def norms(model: TargetModel) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.network.modules())


def check(model: TargetModel, layers: list[str], left: int) -> None:
    """Compare outputs, layers and gradients of the prepared copy and the original; rounding flips no rectifier here."""
    model = model.double()
    prepared = prepare(model, keep=layers)
    assert norms(prepared) == left
    pixels = torch.rand(2, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(1)).double()
    for layer in ["", *layers]:
        given, gradients = [], []
        for one in (model, prepared):
            leaf = pixels.clone().requires_grad_(True)
            value = one.activations(leaf, [layer])[layer]
            given.append(value.detach())
            gradients.append(torch.autograd.grad(value.square().mean(), leaf)[0])
        for one, other in (given, gradients):
            assert (one - other).abs().max() <= 1e-6 * one.abs().max(), layer


@pytest.mark.parametrize(
    ("build", "layers", "left"),
    [
        (lambda: torchvision.models.resnet18(num_classes=5), ["layer3.1.conv2"], 1),
        (lambda: torchvision.models.resnet18(num_classes=5), ["layer3.1.bn1", "avgpool"], 0),
        (lambda: torchvision.models.resnet18(num_classes=5), ["layer3.1.bn1:in", "layer3.1"], 1),
        (lambda: torchvision.models.resnet18(num_classes=5), ["layer3.1:in", "layer2.0.downsample"], 0),
        (lambda: torchvision.models.googlenet(num_classes=5, aux_logits=False, init_weights=False), ["inception4a"], 0),
        (lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=5), [], 0),
    ],
    ids=["convolution", "norm", "norm's input", "block's input", "googlenet", "shufflenet"],
)
def test_batch_norms_are_folded_wherever_a_convolution_feeds_them(build, layers: list[str], left: int) -> None:
    torch.manual_seed(0)
    check(TargetModel(with_statistics(build()), input_size=64), layers, left)


def test_norms_before_their_convolutions_stay() -> None:
    torch.manual_seed(0)
    network = torchvision.models.DenseNet(8, (2, 2, 2, 2), 16, num_classes=5)
    before = norms(TargetModel(network))
    model = TargetModel(with_statistics(network), input_size=64)
    assert 0 < norms(prepare(model)) < before  # those between two convolutions fold, those after a concatenation do not
    check(model, [], norms(prepare(model)))


def test_the_networks_at_hand_lose_all_their_norms() -> None:
    try:
        models = [torchvision_model("mobilenet_v2"), efficientnet_lite(0)]
    except MfvError as error:
        pytest.skip(f"no weights: {error}")
    for model in models:
        prepared = prepare(model)
        assert norms(prepared) == 0
        pixels = torch.rand(2, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(1))
        with torch.inference_mode():
            assert torch.allclose(prepared(pixels), model(pixels), atol=1e-3)


class Twice(nn.Module):
    """A convolution called twice, one whose output goes two ways, one that is a neighbour only by name."""

    def __init__(self) -> None:
        super().__init__()
        self.again, self.norm_again = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.forked, self.norm_forked = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.last, self.norm_last = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm_again(self.again(self.again(x)))
        forked = self.forked(x)
        return self.norm_last(self.last(self.norm_forked(forked) + forked)).mean((2, 3))


def test_a_convolution_with_another_use_keeps_its_norm() -> None:
    torch.manual_seed(0)
    model = TargetModel(with_statistics(Twice()), input_size=16)
    assert foldable(model.network) == [("last", "norm_last")]
    check(model, [], 2)


class Untraceable(nn.Module):
    """Control flow that depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.apart, self.norm = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.body(x)
        if x.sum() > 0:
            x = self.norm(self.apart(x))
        return x.mean((2, 3))


def test_a_network_that_cannot_be_traced_is_folded_in_its_sequences() -> None:
    torch.manual_seed(0)
    model = TargetModel(with_statistics(Untraceable()), input_size=16)
    check(model, [], 1)


class Peeking(nn.Module):
    """Reads its own batch norm, so that folding that one changes what it gives."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))

    def forward(self, x: Tensor) -> Tensor:
        scale = getattr(self.body[1], "weight", None)
        return self.body(x).mean((2, 3)) * (1 if scale is None else 2)


def test_while_a_network_is_looked_at_those_of_other_threads_run_as_ever() -> None:
    other, errors, stop = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), [], threading.Event()
    given = torch.rand(3, 4)
    expected = other(given)

    def work() -> None:
        while not stop.is_set():
            try:
                assert torch.equal(other(given), expected)
            except Exception as error:
                errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        network = torchvision.models.resnet18().eval()
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda _: foldable(network), range(6)))
    finally:
        stop.set()
        thread.join()
    assert errors == []
    assert all(len(pairs) == 20 for pairs in found)
    assert isinstance(nn.Linear(2, 2)(torch.rand(1, 2)), Tensor)  # PyTorch's own call is back


def test_a_fold_that_changes_the_function_is_undone() -> None:
    torch.manual_seed(0)
    check(TargetModel(with_statistics(Peeking()), input_size=16), [], 1)


def whole_blocks(model: TargetModel) -> list[str]:
    """Return ResNets' blocks and MobileNetV2's, `layer3.4` and `features.7`."""
    return [name for name in model.layers() if name.startswith(("layer", "features")) and name.count(".") == 1]


@pytest.mark.parametrize(
    ("name", "layers", "sizes"),
    [
        ("alexnet", "convolutions", [8]),
        ("vgg16", "convolutions", [16]),
        ("resnet50", "blocks", [16]),
        ("resnet50", "convolutions", [2, 52]),  # no fold changes the classes; the middle layer's norm is never folded
        ("mobilenet_v2", "blocks", [19]),
    ],
)
def test_layers_take_one_pass_or_two(name: str, layers: str, sizes: list[int]) -> None:
    """The figures of docs/scale.md."""
    model = torchvision_model(name, weights="none")
    kinds = (nn.Conv2d, nn.Linear)
    named = [key for key, module in model.network.named_modules() if isinstance(module, kinds)]
    asked = map(model.before_activation, whole_blocks(model) if layers == "blocks" else named)
    folded = leaves_norms_folded(model, asked, [model.code_layer, model.anchor_layer])
    assert sorted(Counter(folded).values()) == sizes


def test_what_a_norm_is_made_of_stays_where_it_is_asked_for() -> None:
    model = efficientnet_lite(0, weights="none")
    layer = next(name for name, kind in model.layers().items() if name.endswith(".bn2.act"))
    prepared = prepare(model, keep=[layer])
    pixels = torch.rand(1, 3, model.input_size, model.input_size)
    with torch.inference_mode():
        one, other = (each.activations(pixels, [layer])[layer] for each in (model, prepared))
    assert torch.allclose(one, other, atol=1e-4)
    assert norms(prepared) == 1


def test_a_linear_layer_takes_what_is_no_images() -> None:
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query, self.turn, self.last = nn.Parameter(torch.ones(4)), nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, pixels: Tensor) -> Tensor:
            return self.last(pixels.mean((2, 3)) * self.turn(self.query))

    model, pixels = TargetModel(Asks(), input_size=8), torch.rand(3, 3, 8, 8)
    assert torch.allclose(prepare(model)(pixels), model(pixels), atol=1e-6)


class TwoNames(nn.Module):
    """A convolution, and its norm, that have two names."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.two, self.same = self.one, self.norm
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.same(self.two(x))).mean((2, 3))


@pytest.mark.parametrize("gradients", [True, False])
def test_a_module_may_have_two_names(gradients: bool) -> None:
    torch.manual_seed(0)
    model = TargetModel(TwoNames(), input_size=16)
    pixels = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(prepare(model, gradients=gradients)(pixels), model(pixels))
