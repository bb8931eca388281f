"""Passes in half precision, compiled, and as CUDA graphs: tried out first, and left where they do not pay."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfv.activations.hooks import capture
from mfv.models.acceleration import Acceleration
from mfv.models.graphs import Pass, graphed
from mfv.models.naming import OUTPUT, PROB
from mfv.models.target import TargetModel, channels_first, square

GAIN = 1.05  # by how much it must be faster
ALIKE = 0.9  # the least cosine between its gradient and the plain pass's
ROUNDS = 3  # of a trial, whose median counts
LIFT = 1024.0  # what gradients are multiplied with while they are float16, whose smallest number is 6e-8

logger = logging.getLogger("mfv")


def plain_pass(model: TargetModel, layers: Sequence[str]) -> Pass:
    """Return the pass as it is."""
    return lambda pixels: model.activations(pixels, layers)


def fastest_pass(model: TargetModel, layers: Sequence[str], pixels: Tensor, acceleration: Acceleration) -> Pass:
    """Return the pass with what the acceleration asks for, as far as that makes the gradient faster here.

    Args:
        model: the prepared network.
        layers: whose activations are asked for.
        pixels: (n, 3, S, S), such as the pass will be given, to try it with.
        acceleration: what to try. What it makes no faster, changes too much or cannot do is left, and the log says why.

    """
    plain = base = best = plain_pass(model, layers)
    if acceleration.graph and pixels.device.type == "cuda":
        best = _better("graph", lambda: graphed(plain, pixels), plain, pixels)
    recorded = best is not plain

    def replayed(run: Pass) -> Pass:
        return graphed(run, pixels) if recorded else run

    dtype = getattr(torch, acceleration.precision)
    half = in_half_precision(plain, dtype)
    if dtype is not torch.float32:
        before, best = best, _better(acceleration.precision, lambda: replayed(half), best, pixels)
        base = plain if best is before else half
    if acceleration.compile:
        fused = compiled(model, layers)
        whole = fused if base is plain else in_half_precision(fused, dtype)
        best = _better("compile", lambda: replayed(whole), best, pixels)
    return best


@contextmanager
def repeatable() -> Iterator[None]:
    """Let cuDNN take kernels that sum in one order only: the same pass then gives the same gradient, to the bit."""
    before = torch.backends.cudnn.deterministic
    torch.backends.cudnn.deterministic = True
    try:
        yield
    finally:
        torch.backends.cudnn.deterministic = before


def in_half_precision(plain: Pass, dtype: torch.dtype) -> Pass:
    """Return a pass whose convolutions and products are of a 16-bit type; it gives float32, and so do its gradients."""
    lift = LIFT if dtype is torch.float16 else 1.0

    def in_half_precision(pixels: Tensor) -> dict[str, Tensor]:
        with torch.autocast(pixels.device.type, dtype, cache_enabled=False):  # a cache would end with a recording
            found = plain(_GradientTimes.apply(pixels, 1 / lift))
        return {layer: _GradientTimes.apply(tensor, lift).float() for layer, tensor in found.items()}

    return in_half_precision


def compiled(model: TargetModel, layers: Sequence[str]) -> Pass:
    """Return a pass that `torch.compile` has made; its first call compiles."""
    program = _Program(model, layers)
    fused = torch.compile(program, fullgraph=True, dynamic=False)

    def compiled(pixels: Tensor) -> dict[str, Tensor]:
        with program.recording():
            return dict(zip(layers, fused(pixels), strict=True))

    return compiled


class _Program(nn.Module):
    """The network with its layers' activations as outputs: what is not asked for, the compiler leaves out."""

    def __init__(self, model: TargetModel, layers: Sequence[str]):
        super().__init__()
        self.model, self.layers = model, tuple(layers)
        self.found: dict[str, Tensor] = {}
        self.outputs = frozenset(layer for layer in layers if model.canonical(layer) in (OUTPUT, PROB))
        self.hooked = {layer: model.module(layer) for layer in layers if layer not in self.outputs}

    @contextmanager
    def recording(self) -> Iterator[None]:
        with capture(self.hooked, stop_early=False) as recorder:
            self.found = recorder.tensors
            yield

    def forward(self, pixels: Tensor) -> list[Tensor]:
        output = self.model(pixels)
        given = [self.model.layer_of_output(layer, output) if layer in self.outputs else self.found[layer]
                 for layer in self.layers]  # fmt: skip
        return [channels_first(tensor) for tensor in given] if square(pixels) else given


class _GradientTimes(torch.autograd.Function):
    """The values as they are; their gradient multiplied."""

    @staticmethod
    def forward(context: Any, values: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * context.factor, None


def _better(name: str, make: Callable[[], Pass], best: Pass, pixels: Tensor) -> Pass:
    """Return the new pass where its gradient is as good and comes sooner, else the best so far."""
    try:
        candidate = make()
        one, other = (gradient(run, pixels).flatten().double() for run in (best, candidate))
        alike = F.cosine_similarity(one, other, dim=0)
        if not alike >= ALIKE:  # or not a number
            logger.info("%s is left off: its gradient has a cosine of %.3f with the one without", name, alike)
            return best
        turns = [(_seconds(best, pixels), _seconds(candidate, pixels)) for _ in range(ROUNDS)]
    except Exception as error:  # whatever a compiler or a type may not be able to do
        reason = str(error).strip().splitlines() or [""]
        logger.info("%s is left off: %s: %s", name, type(error).__name__, reason[0])
        return best
    gain = statistics.median(before / after for before, after in turns)
    if gain < GAIN:
        logger.info("%s is left off: a gradient takes %.2f times as long with it", name, 1 / gain)
        return best
    logger.info("%s: a gradient is %.2f times as fast", name, gain)
    return candidate


def gradient(run: Pass, pixels: Tensor) -> Tensor:
    """Return the gradient of each image's largest value in the last layer with respect to pixels (n, 3, S, S)."""
    leaf = pixels.detach().requires_grad_(True)
    with torch.enable_grad():
        last = list(run(leaf).values())[-1]
        return torch.autograd.grad(last.flatten(1).amax(1).sum(), leaf)[0]


def _seconds(run: Pass, pixels: Tensor) -> float:
    _wait(pixels)
    begun = time.perf_counter()
    gradient(run, pixels)
    _wait(pixels)
    return time.perf_counter() - begun


def _wait(pixels: Tensor) -> None:
    if pixels.device.type != "cpu":
        torch.accelerator.synchronize(pixels.device)
