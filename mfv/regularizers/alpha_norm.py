"""A norm that leaves ordinary colours alone and stops extreme ones."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mfv.errors import MfvError
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

    weight: float | Schedule = 1.0
    alpha: float = 6.0
    target: float = 80.0
    bound: float = 160.0

    def __post_init__(self) -> None:
        if not 1 <= self.alpha <= 32:
            raise MfvError(f"the alpha norm's alpha is {self.alpha}; it is an exponent from 1 to 32")
        for name in ("target", "bound"):
            if not getattr(self, name) > 0:
                raise MfvError(f"the alpha norm's {name} is {getattr(self, name)}; it is above 0 grey levels")

    def penalty(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the weighted mean over the pixels (n,)."""
        weight = value_at(self.weight, moment.iteration, moment.iterations)
        squares = ((pixels - moment.mean_color) * (255 / self.target)).square().sum(1)
        return weight * squares.pow(self.alpha / 2).mean((1, 2))

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the pixels, none further from the mean colour than the bound."""
        offset = pixels - moment.mean_color
        norm = torch.linalg.vector_norm(offset, dim=1, keepdim=True)
        return moment.mean_color + offset * (self.bound / 255 / norm.clamp_min(1e-12)).clamp_max(1)
