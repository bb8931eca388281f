"""A pass and its gradient as two CUDA graphs: a GPU then waits for no launch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Pass = Callable[[Tensor], dict[str, Tensor]]  # from pixels (n, 3, S, S) in [0, 1] to each layer's activation

WARM_UP = 3  # passes before the recording, in which libraries choose their kernels


def graphed(plain: Pass, pixels: Tensor) -> Pass:
    """Return a pass that replays the kernels of another, for pixels of the same shape; others it leaves to that.

    Launching a kernel takes a GPU's host some microseconds, the hundreds of a pass and its gradient more than
    a few images take to compute. The activations are overwritten by the next replay: use them, and take their gradient,
    before. No gradient leads from one of the layers to another.

    Args:
        plain: the pass, whose operations do not hang on the pixels' values.
        pixels: (n, 3, S, S) on a CUDA device, such as it will be given.

    Raises:
        RuntimeError: the pass cannot be recorded, for example as the host reads a value in its course.

    """
    recording = _Recording(plain, pixels)

    def graphed(shown: Tensor) -> dict[str, Tensor]:
        if shown.shape != recording.pixels.shape:
            return plain(shown)
        return dict(zip(recording.layers, _Replay.apply(shown, recording), strict=True))

    return graphed


class _Recording:
    """The two graphs, with what they read and write."""

    def __init__(self, plain: Pass, pixels: Tensor):
        before = torch.cuda.current_stream(pixels.device)
        try:
            self._record(plain, pixels, torch.cuda.Stream(pixels.device))
        finally:
            torch.cuda.set_stream(before)  # a recording that fails leaves its own

    def _record(self, plain: Pass, pixels: Tensor, stream: torch.cuda.Stream) -> None:
        stream.wait_stream(torch.cuda.current_stream(pixels.device))
        with torch.cuda.stream(stream), torch.enable_grad():
            for _ in range(WARM_UP):
                leaf = pixels.detach().clone().requires_grad_(True)
                given = tuple(plain(leaf).values())
                torch.autograd.grad(given, leaf, [torch.zeros_like(tensor) for tensor in given])
                del given, leaf
        torch.cuda.current_stream(pixels.device).wait_stream(stream)

        self.forward, self.backward = torch.cuda.CUDAGraph(), torch.cuda.CUDAGraph()
        pool = torch.cuda.graph_pool_handle()
        self.pixels = pixels.detach().clone().requires_grad_(True)
        with torch.enable_grad():
            with torch.cuda.graph(self.forward, pool=pool, stream=stream):
                found = plain(self.pixels)
            self.layers, given = tuple(found), tuple(found.values())
            self.gradients = tuple(torch.zeros_like(tensor) for tensor in given)
            with torch.cuda.graph(self.backward, pool=pool, stream=stream):
                (self.gradient,) = torch.autograd.grad(given, self.pixels, self.gradients)
        self.activations = tuple(tensor.detach() for tensor in given)


class _Replay(torch.autograd.Function):
    """The recorded pass, and on the way back its recorded gradient."""

    @staticmethod
    def forward(context: Any, pixels: Tensor, recording: _Recording) -> tuple[Tensor, ...]:
        context.recording = recording
        with torch.no_grad():
            recording.pixels.copy_(pixels)
        recording.forward.replay()
        return tuple(tensor.detach() for tensor in recording.activations)

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor, None]:
        recording: _Recording = context.recording
        for own, given in zip(recording.gradients, gradients, strict=True):
            if given is None:
                own.zero_()
            else:
                own.copy_(given)
        recording.backward.replay()
        return recording.gradient.clone(), None
