"""Total variation as a penalty."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class TVPenalty(Regularizer):
    """Subtract weight · mean of (dx² + dy²)^(β/2) from the objective (Mahendran & Vedaldi 2015).

    The differences are between neighbouring pixels in [0, 1]; the mean is over pixels and channels.

    Attributes:
        weight: against the unit's value. May follow a schedule.
        beta: 1 keeps edges, 2 blurs them.

    """

    weight: Annotated[float | Schedule, Ge(0)] = 10.0
    beta: Annotated[float, Interval(gt=0, le=8), "an exponent"] = 2.0

    def penalty(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the weighted mean variation (n,)."""
        down = pixels[..., 1:, :-1] - pixels[..., :-1, :-1]
        right = pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
        variation = (down.square() + right.square() + 1e-8).pow(self.beta / 2)
        return value_at(self.weight, moment.iteration, moment.iterations) * variation.mean((1, 2, 3))
