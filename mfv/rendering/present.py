"""The present step of a batch, as regularizers see it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mfv.errors import MfvError
from mfv.parameterizations.base import Parameterization
from mfv.regularizers.base import Regularizer
from mfv.rendering.octave import Octave
from mfv.rendering.window import cut, paste

if TYPE_CHECKING:
    from mfv.rendering.maximizer import ActivationMaximizer


@dataclass(frozen=True)
class Present:
    """The present step, as regularizers see it (`mfv.regularizers.Moment`)."""

    maximizer: ActivationMaximizer
    index: int  # of the octave
    iteration: int
    step: int
    size: tuple[int, int]
    offsets: Tensor
    rows: slice  # of the batch, among all images
    twin: int = 0  # how many regularizers of its class stand before the one that looks

    def seen_by(self, number: int) -> Present:
        """Return the moment as one of the octave's regularizers sees it, its numbers and its memory its own."""
        before, kind = self.octave.regularizers[:number], type(self.octave.regularizers[number])
        return replace(self, twin=sum(type(each) is kind for each in before))

    def of(self, rows: slice) -> Present:
        """Return the same moment for some of its images."""
        if rows == self.rows:
            return self
        first = self.rows.start or 0
        return replace(self, rows=rows, offsets=self.offsets[rows.start - first : rows.stop - first])

    @property
    def octave(self) -> Octave:
        """The octave in hand."""
        return self.maximizer.recipe.octaves[self.index]

    def acting(self, method: str) -> list[int]:
        """Return which of the octave's regularizers do anything in one of their four methods."""
        kinds = [type(regularizer) for regularizer in self.octave.regularizers]
        return [
            number for number, kind in enumerate(kinds) if getattr(kind, method) is not getattr(Regularizer, method)
        ]

    @property
    def iterations(self) -> int:
        """How many the octave has."""
        return self.octave.iterations

    @property
    def mean_color(self) -> Tensor:
        """What the network's normalization maps to zero, (1, 3, 1, 1) in [0, 1]."""
        return self.maximizer.model.mean

    @property
    def facets(self) -> Tensor:
        """The facet that each image stands for, (n,)."""
        return self.maximizer.facets[self.rows]

    @property
    def numbers(self) -> Tensor:
        """The same, numbered through where units' regularizers are joined, (n,)."""
        return self.maximizer.numbers[self.rows]

    def uniform(self, key: str, count: int) -> Tensor:
        """Return (n, count) numbers in [0, 1), each image's own."""
        return self.maximizer.randomness.uniform(self._own(key), count, self.step, self.offsets.device)[self.rows]

    def normal(self, key: str, count: int) -> Tensor:
        """Return (n, count) standard normal numbers, each image's own."""
        return self.maximizer.randomness.normal(self._own(key), count, self.step, self.offsets.device)[self.rows]

    def seeds(self, key: str) -> list[int]:
        """Return a seed for each image."""
        return self.maximizer.randomness.seeds(self._own(key), self.step)[self.rows]

    def recall(self, key: str, channels: int) -> Tensor:
        """Return what is remembered of the pixels in view, (n, channels, h, w)."""
        return cut(self._memory(key, channels), self.offsets, self.size)

    def remember(self, key: str, memory: Tensor) -> None:
        """Keep (n, channels, h, w) with the pixels in view."""
        kept = self._memory(key, memory.shape[1])
        if memory.data_ptr() != kept.data_ptr():  # else it was changed in place
            kept.copy_(paste(kept, memory, self.offsets))

    def _own(self, key: str) -> str:
        return f"{key}#{self.twin}" if self.twin else key

    def _memory(self, key: str, channels: int) -> Tensor:
        key = self._own(key)
        if key not in self.maximizer.memory:
            side = self.octave.canvas_size(self.maximizer.input_size)
            count = len(self.maximizer.facets)
            self.maximizer.memory[key] = self.maximizer.canvas.new_zeros(count, channels, side, side)
        return self.maximizer.memory[key][self.rows]


def check_shape(moment: Present, number: int, method: str, given: Tensor, result: Tensor) -> None:
    """Raise `MfvError` where a regularizer's method returns another shape than it was given."""
    if result.shape != given.shape:
        name = type(moment.octave.regularizers[number]).__name__
        raise MfvError(
            f"{name}.{method} returns {tuple(result.shape)} for {tuple(given.shape)}: it is to keep the shape "
            "(`transform` alone may change it)"
        )


def acted(regularizer: Regularizer, method: str, given: Tensor, moment: Present) -> Tensor:
    """Return what a regularizer's `transform`, `gradient` or `project` makes of a tensor (n, 3, h, w).

    Raises:
        MfvError: that is no tensor, one of other numbers, or one that no gradient comes through; or a `transform` has
            changed what it was given.

    """
    name, version = f"{type(regularizer).__name__}.{method}", given._version
    try:
        result = getattr(regularizer, method)(given, moment)
    except RuntimeError as error:
        if "in-place operation" not in str(error):
            raise
        raise _in_place(name) from error
    if method == "transform" and given._version != version:
        raise _in_place(name)
    if not isinstance(result, Tensor):
        raise MfvError(f"{name} returns a {type(result).__name__}: it is to return a tensor, as it is given one")
    if result.dtype != given.dtype:
        raise MfvError(f"{name} returns {result.dtype} for {given.dtype}: let it return result.to({given.dtype})")
    if given.requires_grad and not result.requires_grad and torch.is_grad_enabled():
        raise _closed(name)
    return result


def decoded(parameterization: Parameterization, parameters: Tensor) -> Tensor:
    """Return the images (n, 3, H, H) of parameters (n, …); `MfvError` where no gradient comes through."""
    images = parameterization.decode(parameters)
    if not isinstance(images, Tensor):
        name = f"{type(parameterization).__name__}.decode"
        raise MfvError(f"{name} returns a {type(images).__name__}: it is to return images, a tensor (n, 3, H, H)")
    if parameters.requires_grad and not images.requires_grad and torch.is_grad_enabled():
        raise _closed(f"{type(parameterization).__name__}.decode")
    return images


def _in_place(name: str) -> MfvError:
    return MfvError(f"{name} changes what it is given in place: it is to return a new tensor, of pixels.clone() say")


def _closed(name: str) -> MfvError:
    return MfvError(
        f"{name} lets no gradient through to what it is given: it detaches it, leaves PyTorch, or runs inside "
        "torch.no_grad()"
    )


def penalty_of(regularizer: Regularizer, pixels: Tensor, moment: Present) -> Tensor:
    """Return what a regularizer subtracts from each image's objective (n,).

    Raises:
        MfvError: its `penalty` is neither a number nor one for each image.

    """
    value: Any = regularizer.penalty(pixels, moment)
    if isinstance(value, Real):
        return pixels.new_full((len(pixels),), float(value))
    if not isinstance(value, Tensor) or value.shape not in ((), (len(pixels),)):
        shown = tuple(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
        raise MfvError(
            f"{type(regularizer).__name__}.penalty returns {shown} for {len(pixels)} images: a value for each, (n,), "
            "is asked for"
        )
    return value
