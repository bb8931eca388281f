"""A raw gradient, kept from standing still and from jumping."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from mfv.limits import NotAbove
from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class StepBounds(Regularizer):
    """Multiply the gradient by a rate, and bound each image's largest entry (Wei et al. 2015).

    Where the largest entry leaves the bounds, the whole gradient is scaled back to them. Use it in an
    octave with `normalize: false` and a step of 1: then an entry of 1 moves a pixel by one grey level.

    Attributes:
        rate: what the gradient is multiplied with. May follow a schedule.
        smallest: the lower bound of the largest entry, in grey levels.
        largest: its upper bound, in grey levels.

    """

    rate: Annotated[float | Schedule, Ge(0)] = 1.0
    smallest: Annotated[float, Ge(0), NotAbove("largest"), "a number of grey levels"] = 0.1
    largest: Annotated[float, Ge(0), "a number of grey levels"] = 100.0

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the bounded gradient; a zero gradient stays zero."""
        rate = value_at(self.rate, moment.iteration, moment.iterations)
        peak = rate * gradient.abs().amax((1, 2, 3), keepdim=True)
        scale = peak.clamp(self.smallest, self.largest) / peak
        return gradient * (rate * torch.where(peak > 0, scale, torch.ones_like(scale)))
