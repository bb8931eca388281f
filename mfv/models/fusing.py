"""Convolutions and the rectifiers behind them in fewer passes over memory, on CPUs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mfv.models.same_padding import SameConvolution

# Rectifiers whose gradient is known from what they give, and what oneDNN calls them.
RECTIFIERS: dict[type[nn.Module], tuple[str, list[float], float]] = {
    nn.ReLU: ("relu", [], float("inf")),
    nn.ReLU6: ("hardtanh", [0.0, 6.0], 6.0),
}

LARGE = 56 * 56  # positions of a map from which on the order of sums was never seen to depend on the number of images
MANY, FEW = 16, 8  # images from which one thread sums in another order; so many it is then given at a time


class ConvolutionChain(nn.Sequential):
    """Frozen convolutions with their rectifiers, one behind the other: the same numbers, to the bit, in fewer passes.

    A rectifier alone does nothing but read and write; where the network is bound by memory, as MobileNetV2 is, it costs
    nearly as much as its convolution. oneDNN applies it while it writes the convolution's output. For the gradient only
    the rectifiers' outputs are kept, not what the convolutions were given; and on the way back a rectifier changes in
    place what the convolution behind it has just written.

    Elsewhere than in float32 on a CPU, channels last (on a GPU, in autocast, while compiling), all run one after the
    other. Channels first oneDNN may have another kernel for the two in one, which sums in another order.

    Args:
        *modules: frozen convolutions, each with one of the `RECTIFIERS` behind it; behind the last there may be none.

    """

    def __init__(self, *modules: nn.Module):
        super().__init__(*modules)
        behind = [*self, None]
        self._steps = [
            (number, type(after) if is_rectifier(after) else None)
            for number, (module, after) in enumerate(zip(self, behind[1:], strict=True))
            if isinstance(module, nn.Conv2d)
        ]

    def __getattr__(self, name: str) -> Any:
        """Return what the first convolution has of this name: some networks read their modules' weights."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            first = self.__dict__.get("_modules", {}).get("0")
            if first is None:
                raise
            return getattr(first, name)

    @property
    def steps(self) -> list[tuple[nn.Conv2d, type[nn.Module] | None]]:
        """The convolutions, each with its rectifier's kind."""
        return [(self[number], kind) for number, kind in self._steps]  # type: ignore[misc]

    def forward(self, input: Tensor) -> Tensor:
        """Return the last one's output for an input (n, C, H, W)."""
        return _Chain.apply(input, self) if self.in_few_passes(input) else super().forward(input)

    def in_few_passes(self, given: Tensor) -> bool:
        """Say whether oneDNN can do it for what is given: float32 on a CPU, channels last."""
        return bool(
            given.device.type == "cpu"
            and given.dtype == self.steps[0][0].weight.dtype == torch.float32
            and given.ndim == 4
            and given.is_contiguous(memory_format=torch.channels_last)
            and len(given) > 0
            and torch.backends.mkldnn.is_available()
            and torch.backends.mkldnn.enabled
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )


def fits(first: nn.Module, last: nn.Module) -> bool:
    """Say whether a chain can go on from one module to the next: a convolution and its rectifier, or the reverse."""
    return (is_frozen_convolution(first) and is_rectifier(last)) or (
        is_rectifier(first) and is_frozen_convolution(last)
    )


def chained(first: nn.Module, last: nn.Module) -> ConvolutionChain | None:
    """Return the chain of a convolution, or a chain, and what comes behind it; None where there is no convolution."""
    modules = list(first) if isinstance(first, ConvolutionChain) else [first]
    return ConvolutionChain(*modules, last) if is_frozen_convolution(modules[0]) else None


def is_rectifier(module: nn.Module | None) -> bool:
    """Say whether a module is one of the `RECTIFIERS`."""
    return type(module) in RECTIFIERS


def is_frozen_convolution(module: nn.Module) -> bool:
    """Say whether a module is a convolution that a chain can hold."""
    if type(module) not in (nn.Conv2d, SameConvolution) or module.weight.requires_grad:
        return False
    return module.padding_mode == "zeros" and not isinstance(module.padding, str)


def is_choosy(module: nn.Module) -> bool:
    """Say whether a convolution may sum, on its way there or back, in an order that depends on the number of images."""
    if not isinstance(module, nn.Conv2d) or not is_frozen_convolution(module):
        return False
    return _is_pointwise(module) or _is_strided(module)


def is_depthwise(module: nn.Module) -> bool:
    """Say whether a module is a convolution of each channel by itself."""
    return isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1


def _is_pointwise(convolution: nn.Conv2d) -> bool:
    return convolution.groups == 1 and max(*convolution.kernel_size, *convolution.stride) == 1


def _is_strided(convolution: nn.Conv2d) -> bool:
    return convolution.groups == 1 and max(convolution.stride) > 1 and max(convolution.kernel_size) > 1


class _Chain(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, given: Tensor, chain: ConvolutionChain) -> Tensor:
        shapes, rectified = [], []
        for convolution, kind in chain.steps:
            shapes.append(given.shape)
            given = _by_few(partial(given_by, convolution, kind), given, convolution)
            if kind and context.needs_input_grad[0]:
                rectified.append(given)
        context.save_for_backward(*rectified)
        context.steps, context.shapes = chain.steps, shapes
        return given

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rectified, last = list(context.saved_tensors), context.steps[-1]
        for step, shape in zip(reversed(context.steps), reversed(context.shapes), strict=True):
            convolution, kind = step
            if kind:
                limits = gradient, rectified.pop(), 0.0, RECTIFIERS[kind][2]
                if step is last:  # not ours: others may still read it
                    gradient = torch.ops.aten.hardtanh_backward(*limits)
                else:
                    torch.ops.aten.hardtanh_backward.grad_input(*limits, grad_input=gradient)
            gradient = _way_back(convolution, gradient, shape)
        return gradient, None


def given_by(convolution: nn.Conv2d, kind: type[nn.Module] | None, given: Tensor) -> Tensor:
    """Return what a convolution gives, through its rectifier."""
    if kind is None:
        return convolution(given)
    name, limits, _ = RECTIFIERS[kind]
    weight, padding = _fitted(convolution, given.shape)
    return torch.ops.mkldnn._convolution_pointwise(
        given, weight, convolution.bias, padding, list(convolution.stride), list(convolution.dilation),
        convolution.groups, name, limits, "",
    )  # fmt: skip


def _fitted(convolution: nn.Conv2d, shape: torch.Size) -> tuple[Tensor, list[int]]:
    """Return a convolution's kernel and padding for what it is given, of this shape (…, H, W)."""
    if isinstance(convolution, SameConvolution):
        weight, padding = convolution.fitted(shape[-2:])
        return weight, list(padding)
    return convolution.weight, list(convolution.padding)  # type: ignore[arg-type]


def _by_few(work: Callable[[Tensor], Tensor], images: Tensor, convolution: nn.Conv2d) -> Tensor:
    """Return what is made of images (n, …); each image's is its own.

    One thread alone sums the products of a 1 × 1 convolution in another order from 16 images on, with AVX-512. So it is
    given a few at a time then.
    """
    if len(images) < MANY or torch.get_num_threads() > 1 or not _is_pointwise(convolution):
        return work(images)
    return torch.cat([work(some) for some in images.split(FEW)])


def _way_back(convolution: nn.Conv2d, gradient: Tensor, shape: torch.Size) -> Tensor:
    """Return the gradient with respect to what a convolution was given, of this shape; each image's is its own.

    Of small maps and with a stride oneDNN chooses, by the number of images, how several threads share the work, and
    with it the order of its sums: the same one for all multiples of the threads. So there are made to be as many.
    """
    count, threads = len(gradient), torch.get_num_threads()
    missing = -count % threads
    if not missing or not _is_strided(convolution) or gradient.shape[-2] * gradient.shape[-1] > LARGE:
        return _by_few(lambda some: _gradient_of_input(convolution, some, shape[1:]), gradient, convolution)
    gradient = torch.cat([gradient, gradient[-1:].expand(missing, *gradient.shape[1:])])
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    return _gradient_of_input(convolution, gradient, shape[1:])[:count]


def _gradient_of_input(convolution: nn.Conv2d, gradient: Tensor, shape: torch.Size) -> Tensor:
    """Return the gradient with respect to what a convolution was given, images of this shape (C, H, W)."""
    like = torch.empty(len(gradient), *shape, memory_format=torch.channels_last)  # for its shape: nothing is read of it
    weight, padding = _fitted(convolution, shape)
    return torch.ops.aten.convolution_backward(
        gradient, like, weight, None, list(convolution.stride), padding, list(convolution.dilation), False, [0, 0],
        convolution.groups, [True, False, False],
    )[0]  # fmt: skip
