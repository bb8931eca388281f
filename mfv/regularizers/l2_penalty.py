"""The squared norm as a penalty."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class L2Penalty(Regularizer):
    """Subtract weight · ‖x − mean‖² from the objective (Simonyan et al. 2014, equation 1).

    The sum is over all pixels and channels, in [0, 1], relative to the model's mean colour.

    Attributes:
        weight: against the unit's value. May follow a schedule.

    """

    weight: Annotated[float | Schedule, Ge(0)] = 0.005

    def penalty(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the weighted squared norm (n,)."""
        weight = value_at(self.weight, moment.iteration, moment.iterations)
        return weight * (pixels - moment.mean_color).square().sum((1, 2, 3))
