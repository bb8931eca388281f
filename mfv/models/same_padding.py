"""Convolutions that are padded as TensorFlow does it, without a copy of what they are given."""

from __future__ import annotations

import math
from typing import TypeGuard

from torch import Tensor, nn
from torch.nn import functional as F


class SameDepthwise(nn.Conv2d):
    """A depthwise convolution that gives as many pixels as it is given, over its stride: the same numbers, sooner.

    TensorFlow pads what is behind by a pixel more than what is before, where the sum is odd; PyTorch pads both sides
    alike, so timm's `Conv2dSame` copies all of a map into a larger one first, which takes several times as long as a
    depthwise convolution. A line of zeros before the kernel's first has the same effect as that shift.

    Args:
        convolution: of timm; see `is_same_depthwise`. Its weights are shared.

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
        height, width = (
            max(0, (math.ceil(side / stride) - 1) * stride + kernel - side)
            for side, stride, kernel in zip(input.shape[-2:], self.stride, self.kernel_size, strict=True)
        )
        weight = F.pad(self.weight, (width % 2, 0, height % 2, 0))
        padding = (height + 1) // 2, (width + 1) // 2
        return F.conv2d(input, weight, self.bias, self.stride, padding, groups=self.groups)


def is_same_depthwise(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Say whether a module is timm's convolution with TensorFlow's padding, each channel by itself."""
    return (
        type(module).__name__ == "Conv2dSame"
        and isinstance(module, nn.Conv2d)
        and module.groups == module.in_channels
        and module.dilation == (1, 1)
    )
