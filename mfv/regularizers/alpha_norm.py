"""A norm that leaves ordinary colours alone and stops extreme ones."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class AlphaNorm(Regularizer):
    """Subtract weight · mean over the pixels of (‖x − mean‖ / target)^α, and keep ‖x − mean‖ within a bound.

    ‖·‖ is the norm over a pixel's three channels (Mahendran & Vedaldi 2016, section 3.2: the range
    of natural images). With α = 6 a pixel at half the target costs 1/64, at twice the target 64.

    Attributes:
        weight: against the unit's value. May follow a schedule.
        alpha: the exponent, 1 to 32.
        target: the typical norm, in grey levels (0–255).
        bound: the largest norm, in grey levels; pixels beyond are pulled back to it.

    """

    weight: Annotated[float | Schedule, Ge(0)] = 1.0
    alpha: Annotated[float, Interval(ge=1, le=32), "an exponent"] = 6.0
    target: Annotated[float, Gt(0), "a number of grey levels"] = 80.0
    bound: Annotated[float, Gt(0), "a number of grey levels"] = 160.0

    def penalty(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the weighted mean over the pixels (n,)."""
        weight = value_at(self.weight, moment.iteration, moment.iterations)
        squares = ((pixels - moment.mean_color) * (255 / self.target)).square().sum(1)
        squares = squares.clamp_min(1e-12)  # at the mean colour itself the root has no slope
        return weight * squares.pow(self.alpha / 2).mean((1, 2))

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the pixels, none further from the mean colour than the bound."""
        offset = pixels - moment.mean_color
        norm = torch.linalg.vector_norm(offset, dim=1, keepdim=True)
        return moment.mean_color + offset * (self.bound / 255 / norm.clamp_min(1e-12)).clamp_max(1)
