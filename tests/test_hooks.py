import copy

import pytest
import torch
from torch import nn

from mfv.activations.hooks import NotATensor, capture, first_tensor
from mfv.errors import MfvError
from mfv.models.target import TargetModel


class AddsInPlace(nn.Module):
    """As ResNet does it: the branch's output is changed after its layer gave it."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = nn.Conv2d(3, 3, 3, padding=1)
        self.never = nn.Linear(2, 2)

    def forward(self, image):
        kept = self.first(image)
        out = self.second(kept)
        if not torch.is_grad_enabled():  # a convolution's gradient needs its input as it was
            kept += 100
        out += kept
        return nn.functional.relu(out, inplace=True).mean(dim=(2, 3))


class Fails(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, image):
        self.layer(image)
        raise RuntimeError("the pass fails")


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Identity()
        self.outer = nn.Identity()
        self.calls = []

    def forward(self, image):
        self.calls.append("inner")
        image = self.inner(image)
        self.calls.append("outer")
        return self.outer(image)


def hook_count(network):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in network.modules())


def image(seed=0, size=8):
    return torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(seed))


def test_recorded_tensors_keep_what_the_layer_gave():
    network = AddsInPlace()
    with torch.no_grad():
        first = network.first(image())
        second = network.second(first)
        expected = network(image())
        layers = {"first": network.first, "second": network.second, "second:in": network.second}
        with capture(layers, stop_early=False) as recorder:
            output = recorder.run(network, image())
    torch.testing.assert_close(recorder.tensors["first"], first)
    torch.testing.assert_close(recorder.tensors["second:in"], first)
    torch.testing.assert_close(recorder.tensors["second"], second)
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("name", ["first", "second:in", "second"])
def test_gradients_reach_the_output_through_a_recorded_tensor(name):
    network = AddsInPlace()
    module = network.get_submodule(name.removesuffix(":in"))
    with capture({name: module}, stop_early=False) as recorder:
        output = recorder.run(network, image())
    (gradient,) = torch.autograd.grad(output.sum(), recorder.tensors[name])
    assert gradient.abs().sum() > 0


def test_a_pass_ends_at_the_deepest_layer_asked_for():
    network = Counts()
    with capture({"inner": network.inner}) as recorder:
        assert recorder.run(network, image()) is None
    assert network.calls == ["inner"]
    with capture({"inner": network.inner}, stop_early=False) as recorder:
        assert recorder.run(network, image()) is not None
    assert network.calls == ["inner", "inner", "outer"]


def test_hooks_are_gone_after_the_block_and_after_an_error():
    network = Fails()
    with capture({"layer": network.layer, "layer:in": network.layer}):
        assert hook_count(network) == 2
    assert hook_count(network) == 0
    with (
        pytest.raises(RuntimeError, match="the pass fails"),
        capture({"layer": network.layer}, False) as recorder,
    ):
        recorder.run(network, image())
    assert hook_count(network) == 0


def test_a_layer_called_twice_is_recorded_the_first_time():
    shared = nn.Conv2d(3, 3, 1)
    network = nn.Sequential(shared, nn.ReLU(), shared)
    with torch.no_grad(), capture({"0": shared}, stop_early=False) as recorder:
        recorder.run(network, image())
    torch.testing.assert_close(recorder.tensors["0"], shared(image()).detach())


def test_first_tensor_of_tuples_and_mappings():
    tensor = torch.ones(1)
    assert first_tensor("x", ((tensor, None), 3)) is tensor
    assert first_tensor("x", {"hidden": torch.zeros(1), "logits": tensor}) is tensor
    assert first_tensor("x", {"hidden": tensor}) is tensor
    with pytest.raises(NotATensor, match="'x' gives a int"):
        first_tensor("x", 3)


def test_an_error_in_a_pass_leaves_model_and_network_without_hooks():
    network = Fails()
    before = copy.deepcopy(network.state_dict())
    model = TargetModel(network, input_size=8)
    with pytest.raises(RuntimeError, match="the pass fails"):
        model.activations(image(), ["layer", ""])
    assert hook_count(network) == hook_count(model) == 0
    assert network.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_layer_that_is_not_called_is_named():
    model = TargetModel(AddsInPlace(), name="mine", input_size=8)
    with pytest.raises(MfvError, match=r"layer 'never' of mine takes no part"):
        model.activations(image(), ["never"])
