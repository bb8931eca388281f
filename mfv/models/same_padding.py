"""Convolutions that are padded as TensorFlow does it, without a copy of what they are given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F


class SameConvolution(nn.Conv2d):
    """A convolution that gives as many pixels as it is given, over its stride: the same numbers, sooner.

    TensorFlow pads what is behind by a pixel more than what is before, where the sum is odd; PyTorch pads both sides
    alike, so timm's `Conv2dSame` copies all of a map into a larger one first, which takes several times as long as a
    depthwise convolution. A line of zeros before the kernel's first has the same effect as that shift. A network's
    first convolution gains by it as its rectifier can then be part of it (`ConvolutionChain`); its gradient does not,
    as the kernel is larger.

    Args:
        convolution: of timm; see `is_same_depthwise` and `is_same_first`. Its weights are shared.

    """

    def __init__(self, convolution: nn.Conv2d):
        (height, width), (down, right) = convolution.kernel_size, convolution.stride
        super().__init__(
            convolution.in_channels, convolution.out_channels, (height, width), (down, right),
            groups=convolution.groups, bias=convolution.bias is not None, device="meta",
        )  # fmt: skip
        self.weight, self.bias = convolution.weight, convolution.bias

    def forward(self, input: Tensor) -> Tensor:
        """Return the output (n, C, ⌈H / stride⌉, ⌈W / stride⌉) for an input (n, C, H, W)."""
        weight, padding = self.fitted(input.shape[-2:])
        return F.conv2d(input, weight, self.bias, self.stride, padding, groups=self.groups)

    def fitted(self, size: Sequence[int]) -> tuple[Tensor, tuple[int, int]]:
        """Return the kernel (out, in, h, w) and the padding of both sides that do it for maps of a size, (H, W)."""
        height, width = (
            max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
            for side, stride, kernel in zip(size, self.stride, self.kernel_size, strict=True)
        )
        return F.pad(self.weight, (width % 2, 0, height % 2, 0)), ((height + 1) // 2, (width + 1) // 2)


def is_same_depthwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Say whether a module is timm's convolution with TensorFlow's padding, each channel by itself."""
    return _is_same(module) and module.groups == module.in_channels


def is_same_first(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Say whether a module is timm's convolution with TensorFlow's padding, of an image's three channels."""
    return _is_same(module) and module.in_channels == 3


def _is_same(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return type(module).__name__ == "Conv2dSame" and isinstance(module, nn.Conv2d) and module.dilation == (1, 1)
