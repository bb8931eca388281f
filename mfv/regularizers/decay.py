"""Decay toward the mean colour."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class Decay(Regularizer):
    """Shrink every pixel's distance from the model's mean colour by a share, each step (Yosinski et al. 2015).

    Attributes:
        rate: the share, 0–1.

    """

    rate: Annotated[float, Interval(ge=0, le=1), "a share"] = 1e-4

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the decayed pixels."""
        mean = moment.mean_color
        return mean + (1 - self.rate) * (pixels - mean)
