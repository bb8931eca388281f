"""Tests of TensorFlow's padding without a copy, against timm's own convolutions."""

import copy

import pytest
import torch
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from mfv.models.fusing import ConvolutionChain
from mfv.models.preparation import prepare
from mfv.models.same_padding import SameConvolution, is_same_depthwise, is_same_first
from mfv.models.timm import efficientnet_lite


@pytest.mark.parametrize("kernel", [3, 5, (3, 5)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("size", [(16, 16), (15, 16), (2, 7)])
def test_it_gives_what_timm_gives_at_any_size(kernel, stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    given = Conv2dSame(8, 8, kernel, stride, groups=8).requires_grad_(False)
    images = torch.randn(2, 8, *size).requires_grad_()
    expected, found = given(images), SameConvolution(given)(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    weights = torch.randn(expected.shape)
    gradients = [torch.autograd.grad((weights * each).sum(), images)[0] for each in (expected, found)]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [(16, 16), (15, 16)])
def test_an_images_channels_may_be_mixed(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    given, images = Conv2dSame(3, 8, 3, 2).requires_grad_(False), torch.randn(2, 3, *size)
    torch.testing.assert_close(SameConvolution(given)(images), given(images), rtol=0, atol=1e-6)


def test_only_depthwise_and_first_convolutions_of_timm_are_taken() -> None:
    assert is_same_depthwise(Conv2dSame(8, 8, 3, 2, groups=8))
    assert is_same_first(Conv2dSame(3, 8, 3, 2))
    others = [Conv2dSame(8, 8, 3, 2), Conv2dSame(8, 8, 3, 2, groups=8, dilation=2), nn.Conv2d(8, 8, 3, 2, groups=8)]
    for other in (*others, nn.Conv2d(3, 8, 3, 2)):
        assert not is_same_depthwise(other)
        assert not is_same_first(other)


@pytest.mark.parametrize(("stride", "size"), [(1, (8, 8)), (2, (8, 8)), (2, (7, 8))])
def test_in_a_chain_it_gives_the_bits_that_it_gives_before_its_rectifier(stride: int, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    convolution = SameConvolution(Conv2dSame(8, 8, 3, stride, groups=8).requires_grad_(False))
    images = (10 * torch.randn(2, 8, *size)).contiguous(memory_format=torch.channels_last).requires_grad_()
    for parts in ([convolution, nn.ReLU6()], [convolution]):
        expected, found = nn.Sequential(*parts)(images), ConvolutionChain(*parts)(images)
        assert torch.equal(found, expected)
        weights = torch.randn(expected.shape)
        gradients = [torch.autograd.grad((weights * each).sum(), images)[0] for each in (expected, found)]
        assert torch.equal(*gradients)


@pytest.mark.parametrize(("gradients", "count"), [(True, 4), (False, 5)], ids=["gradients", "passes alone"])
def test_a_prepared_network_of_tensorflows_pads_without_copies_and_stays_the_same(gradients: bool, count: int) -> None:
    model = efficientnet_lite(0, "none")
    given = copy.deepcopy(model)
    layer = "blocks.3.0.conv_dw"
    prepared = prepare(model, keep=[layer], gradients=gradients)
    assert sum(isinstance(module, SameConvolution) for module in prepared.network.modules()) == count
    assert not any(isinstance(module, SameConvolution) for module in model.network.modules())
    images = torch.rand(2, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        expected, found = (each.activations(images, [layer, ""]) for each in (given, prepared))
    for name in (layer, ""):
        spread = expected[name].std()
        assert float((found[name] - expected[name]).abs().max() / spread) < 1e-4, name
