"""A convolution and the rectifier behind it in one pass over memory, on CPUs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Rectifiers whose gradient is known from what they give, and what oneDNN calls them.
RECTIFIERS: dict[type[nn.Module], tuple[str, list[float], float]] = {
    nn.ReLU: ("relu", [], float("inf")),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], 6.0),
}


class RectifiedConv2d(nn.Module):
    """A frozen convolution with its rectifier: the same numbers, to the bit, as one after the other.

    A rectifier alone does nothing but read and write; where the network is bound by memory, as MobileNetV2 is, it costs
    nearly as much as its convolution. oneDNN applies it while it writes the convolution's output. For the gradient only
    that output is kept, not what the convolution was given.

    Elsewhere than in float32 on a CPU, channels last (on a GPU, in autocast, while compiling), both run one after the
    other. Channels first oneDNN may have another kernel for the two in one, which sums in another order.

    Args:
        convolution: frozen.
        rectifier: one of `RECTIFIERS`.

    """

    def __init__(self, convolution: nn.Conv2d, rectifier: nn.Module):
        super().__init__()
        self.convolution, self.rectifier = convolution, rectifier

    def forward(self, inputs: Tensor) -> Tensor:
        """Return max(0, W ∗ inputs + b), of a ReLU6 at most 6, for inputs (n, C, H, W)."""
        if not _one_pass(inputs, self.convolution):
            return self.rectifier(self.convolution(inputs))
        return _Rectified.apply(inputs, self.convolution, type(self.rectifier))


def fits(convolution: nn.Module, rectifier: nn.Module) -> bool:
    """Say whether two modules, one behind the other, can be one pass."""
    if not isinstance(convolution, nn.Conv2d) or type(rectifier) not in RECTIFIERS:
        return False
    plain = type(convolution) is nn.Conv2d and convolution.padding_mode == "zeros"
    frozen = not convolution.weight.requires_grad
    return bool(plain and frozen and not isinstance(convolution.padding, str))


def _one_pass(inputs: Tensor, convolution: nn.Conv2d) -> bool:
    return bool(
        inputs.device.type == "cpu"
        and inputs.dtype == convolution.weight.dtype == torch.float32
        and inputs.ndim == 4
        and inputs.is_contiguous(memory_format=torch.channels_last)
        and len(inputs) > 0
        and torch.backends.mkldnn.is_available()
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class _Rectified(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, inputs: Tensor, convolution: nn.Conv2d, kind: type[nn.Module]) -> Tensor:
        name, limits, _ = RECTIFIERS[kind]
        given = convolution.weight, convolution.bias
        places = list(convolution.padding), list(convolution.stride), list(convolution.dilation)
        output = torch.ops.mkldnn._convolution_pointwise(
            inputs, *given, *places, convolution.groups, name, limits, ""
        )  # fmt: skip
        context.save_for_backward(output)
        context.convolution, context.kind, context.shape = convolution, kind, inputs.shape
        return output

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (output,) = context.saved_tensors
        convolution: nn.Conv2d = context.convolution
        _, _, largest = RECTIFIERS[context.kind]
        passed = torch.ops.aten.hardtanh_backward(gradient, output, 0.0, largest)
        like = torch.empty(context.shape, memory_format=torch.channels_last)  # for its shape: nothing is read of it
        found = torch.ops.aten.convolution_backward(
            passed, like, convolution.weight, None, list(convolution.stride), list(convolution.padding),
            list(convolution.dilation), False, [0, 0], convolution.groups, [True, False, False],
        )  # fmt: skip
        return found[0], None, None
