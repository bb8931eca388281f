"""Which pixels a position of a layer sees, measured on the network itself."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from mfv.activations.hooks import capture
from mfv.models.naming import INPUT_SUFFIX
from mfv.models.target import TargetModel, channels_first

log = logging.getLogger("mfv")

TRIALS = 2  # random networks and inputs whose fields are united, should a path of one be dead


@dataclass(frozen=True)
class ReceptiveField:
    """The square of pixels that each position of a layer depends on.

    Position (y, x) sees `size` pixels from y·stride + start down and x·stride + start across, as far as
    these are in the image. Where every position sees everything, size is the image's, stride and start are 0.
    """

    size: int  # pixels a side, before it is clipped to the image
    stride: int  # pixels from one position's field to the next one's; 0 where all see everything
    start: int  # first pixel of position 0's field; negative by the padding
    grid: tuple[int, int]  # the layer's height and width; tokens are (1, tokens), neurons (1, 1)
    input_size: int  # the image's height and width

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """Return top, left, height and width of the pixels that position (y, x) sees, within the image."""
        top, bottom = self._span(y)
        left, right = self._span(x)
        return top, left, bottom - top, right - left

    @property
    def covers_image(self) -> bool:
        """Whether every position sees the whole image."""
        ends = (self._span(position) for position in (0, self.grid[0] - 1, self.grid[1] - 1))
        return all(end == (0, self.input_size) for end in ends)

    def _span(self, position: int) -> tuple[int, int]:
        first = position * self.stride + self.start
        return max(0, first), min(self.input_size, first + self.size)


def receptive_field(model: TargetModel, layer: str, beyond: bool = True) -> ReceptiveField:
    """Measure the receptive field of a layer's positions, as the network's structure makes it.

    On a copy with random weights, in double precision, rectifiers and largest-of pools give way to the
    identity and to means over the same windows, so that no path is dead by chance. Then the gradient of
    a position in the middle of the map is nonzero exactly where the position looks. Where the field
    meets the image's edge, a larger image is taken, if the network takes one. Squeeze-and-excitation,
    attention and other means over the whole image make every position see all of it; the same is said of
    vectors, tokens and fields that cannot be measured.

    Args:
        model: the network.
        layer: a layer's name.
        beyond: whether to measure fields that are larger than the image, which takes seconds; else they are said to
            see all of it.

    Raises:
        MfvError: there is no such layer.

    """
    size = model.input_size
    with torch.inference_mode(False), torch.enable_grad():
        if not beyond and (grid := _grid_that_sees_all(model, layer)):
            return ReceptiveField(size, 0, 0, grid, size)
        network, shape = _structure(model, layer)
        if len(shape) != 4:
            return ReceptiveField(size, 0, 0, (1, shape[1]) if len(shape) == 3 else (1, 1), size)
        grid = (shape[2], shape[3])
        # Steps of 64 keep the network's strides in phase; a field beyond the last covers all from any corner.
        for larger in (size, size + 64 * max(1, size // 128), size + 64 * (size // 64 + 2)):
            field = _measure(model, network, layer, grid, larger, beyond)
            if field is not None:
                return field
    return ReceptiveField(size, 0, 0, grid, size)


def _grid_that_sees_all(model: TargetModel, layer: str) -> tuple[int, int] | None:
    """Return a map's height and width, if its middle sees the whole image as the network is; None where it need not.

    A tenth of the time of a measurement, and certain: weights and rectifiers only take paths away.
    """
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(1, 3, model.input_size, model.input_size, generator=generator).to(model.mean.device)
    activation = model.activations(image.requires_grad_(), [layer])[layer]
    if activation.ndim != 4 or not activation.requires_grad:
        return None
    height, width = activation.shape[2:]
    weights = torch.randn(activation.shape[1], generator=generator).to(activation)
    whole = ([0, 0], [model.input_size - 1] * 2)
    return (height, width) if _extent(activation, image, weights, (height // 2, width // 2)) == whole else None


def _structure(model: TargetModel, layer: str) -> tuple[nn.Module, torch.Size]:
    """Return a copy of the network that has only the weights on the way to a layer, and the layer's shape."""
    originals = {id(parameter): parameter for parameter in model.network.parameters()}
    network = copy.deepcopy(model.network, dict(originals))  # shares the weights
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                module._parameters[name] = nn.Parameter(parameter.detach(), requires_grad=parameter.is_floating_point())
    twin = copy.copy(model)
    twin._modules = {"network": network}
    pixels = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    activation = twin.activations(pixels, [layer])[layer]
    used = _leaves(activation)
    for module in network.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and id(parameter) not in used:
                module._parameters[name] = nn.Parameter(torch.empty(0))
    return network.cpu().double().requires_grad_(False), activation.shape


def _leaves(result: Tensor) -> set[int]:
    """Return the ids of the leaf tensors that a result was computed from."""
    leaves, seen, waiting = set(), set(), [result.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            leaves.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return leaves


def _measure(
    model: TargetModel, network: nn.Module, layer: str, grid: tuple[int, int], size: int, beyond: bool
) -> ReceptiveField | None:
    """Measure on images of `size`; None where the field meets their edge or the network refuses them."""
    middles, strides = [], set()
    whole = ([0, 0], [size - 1, size - 1])
    for trial in range(TRIALS):
        generator = torch.Generator().manual_seed(trial)
        _randomize(network, generator)
        image = torch.randn(1, 3, size, size, generator=generator, dtype=torch.float64).requires_grad_()
        try:
            activation = _activation(network, model.canonical(layer), image)
        except Exception as error:  # what a network says to a size that it does not take
            log.info("receptive field of %s %s on %d px: %s", model.name, layer, size, error)
            return None
        height, width = activation.shape[2:]
        if size != model.input_size and (height, width) == grid:
            return None  # pooled to a fixed grid: another size says nothing
        weights = torch.randn(activation.shape[1], generator=generator, dtype=torch.float64)
        middle = (height // 2, width // 2)
        middles.append(_extent(activation, image, weights, middle))
        if not beyond and size == model.input_size and middles[-1] == whole:
            return ReceptiveField(size, 0, 0, grid, size)
        if _clipped(middles[-1], size):
            corners = [(0, 0), (height - 1, width - 1)] if size == model.input_size else []
            if corners and all(_extent(activation, image, weights, place) == whole for place in corners):
                return ReceptiveField(size, 0, 0, grid, size)
            return None
        if trial == 0:  # the end of the field, as its beginning may be outside the image
            steps = range(1, min(3, *middle) + 1)
            places = [(middle[0] - step, middle[1] - step) for step in steps]
            ends = [middles[0][1], *(_extent(activation, image, weights, place)[1] for place in places)]
            strides = {after[axis] - before[axis] for after, before in pairwise(ends) for axis in (0, 1)}
    if len(strides) > 1 or 0 in strides:
        return None  # not a window that slides
    stride = strides.pop() if strides else model.input_size  # of a single position: any
    first, last = _united(middles)
    axis = int(last[1] - first[1] > last[0] - first[0])  # the longer side, where kernels are not square
    return ReceptiveField(
        size=last[axis] - first[axis] + 1,
        stride=stride,
        start=first[axis] - stride * middle[axis],
        grid=grid,
        input_size=model.input_size,
    )


def _clipped(extent: tuple[list[int], list[int]], size: int) -> bool:
    return min(extent[0]) == 0 or max(extent[1]) == size - 1 or min(extent[1]) < 0


def _activation(network: nn.Module, layer: str, image: Tensor) -> Tensor:
    module = network.get_submodule(layer.removesuffix(INPUT_SUFFIX))
    with capture({layer: module}) as recorder, _Permeable():
        recorder.run(network, image)
    return channels_first(recorder.tensors[layer])


def _extent(activation: Tensor, image: Tensor, weights: Tensor, place: tuple[int, int]) -> tuple[list[int], list[int]]:
    """Return the first and last row and column in which the gradient of a position is not zero."""
    value = activation[0, :, place[0], place[1]] @ weights
    (gradient,) = torch.autograd.grad(value, image, retain_graph=True)
    seen = (gradient[0] != 0) & gradient[0].isfinite()
    lines = [seen.any(dim=(0, 2)).nonzero(), seen.any(dim=(0, 1)).nonzero()]
    if not all(len(line) for line in lines):
        return [image.shape[-1]] * 2, [-1] * 2
    return [int(line[0]) for line in lines], [int(line[-1]) for line in lines]


def _united(extents: list[tuple[list[int], list[int]]]) -> tuple[list[int], list[int]]:
    firsts, lasts = zip(*extents, strict=True)
    return [min(values) for values in zip(*firsts, strict=True)], [max(values) for values in zip(*lasts, strict=True)]


def _randomize(network: nn.Module, generator: torch.Generator) -> None:
    """Give a network random weights, of a size that keeps values in range."""
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim > 1:
                parameter.copy_(noise / max(1, parameter[0].numel()) ** 0.5)
            else:
                parameter.copy_(0.1 * noise + (0 if name.endswith("bias") else 1))
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            module.reset_running_stats()


class _Permeable(TorchFunctionMode):
    """Lets every path through: rectifiers become the identity, largest-of pools means over their windows."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RECTIFIERS:
            return args[0] if args else kwargs["input"]
        if func in (F.max_pool2d, torch.max_pool2d):
            return _mean_pool(*args, **{name: value for name, value in kwargs.items() if name != "return_indices"})
        if func is F.adaptive_max_pool2d:
            return F.adaptive_avg_pool2d(args[0], args[1] if len(args) > 1 else kwargs["output_size"])
        return func(*args, **kwargs)


_RECTIFIERS = {
    *(F.relu, F.relu6, F.hardtanh, F.hardswish, F.hardsigmoid, F.threshold),
    *(torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
}


def _mean_pool(
    image: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    if dilation not in (1, (1, 1), [1, 1]):
        if ceil_mode:
            return torch.max_pool2d(image, kernel_size, stride or kernel_size, padding, dilation, ceil_mode)
        sides = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
        ones = image.new_ones(image.shape[1], 1, *sides)
        return F.conv2d(image, ones, None, stride or kernel_size, padding, dilation, groups=image.shape[1])
    return F.avg_pool2d(image, kernel_size, stride or None, padding, ceil_mode)
