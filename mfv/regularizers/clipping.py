"""Only what matters is painted: the other pixels go back to the mean colour."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from mfv.errors import MfvError
from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at

_GRADIENT = "clipping/gradient"


@dataclass(frozen=True)
class SmallNormClipping(Regularizer):
    """Set the pixels whose norm is small to the model's mean colour, after every step (Yosinski et al. 2015).

    The norm of x − mean over a pixel's three channels. What remains is the main object.

    Attributes:
        percentile: the share of the pixels that are set, 0–100. May follow a schedule.

    """

    percentile: Annotated[float | Schedule, Interval(ge=0, le=100), "a percentile"] = 20.0

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the clipped pixels."""
        norm = torch.linalg.vector_norm(pixels - moment.mean_color, dim=1, keepdim=True)
        return torch.where(_small(norm, self.percentile, moment), moment.mean_color, pixels)


@dataclass(frozen=True)
class SmallContributionClipping(Regularizer):
    """Set the pixels that contribute little to the model's mean colour, after every step (Yosinski et al. 2015).

    What the objective would change if a pixel were set, to first order: |Σ (x − mean)·gradient| over
    its three channels.

    Attributes:
        percentile: the share of the pixels that are set, 0–100. May follow a schedule.

    """

    percentile: Annotated[float | Schedule, Interval(ge=0, le=100), "a percentile"] = 90.0

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Remember the gradient for `project`, and return it as it is."""
        moment.remember(_GRADIENT, gradient)
        return gradient

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the clipped pixels."""
        gradient = moment.recall(_GRADIENT, 3)
        contribution = ((pixels - moment.mean_color) * gradient).sum(1, keepdim=True).abs()
        return torch.where(_small(contribution, self.percentile, moment), moment.mean_color, pixels)


def _small(values: Tensor, percentile: float | Schedule, moment: Moment) -> Tensor:
    """Say of each value (n, 1, h, w) whether it lies below the percentile of its own image's."""
    share = value_at(percentile, moment.iteration, moment.iterations) / 100
    if not 0 <= share <= 1:
        raise MfvError(f"a clipping percentile is {100 * share:g}; it is from 0 to 100")
    flat = values.flatten(1)  # `quantile` takes 16 million values at most, fewer than a GPU's batch has
    below, part = divmod(share * (flat.shape[1] - 1), 1)
    low = flat.kthvalue(int(below) + 1, dim=1).values
    limit = low.lerp(flat.kthvalue(min(flat.shape[1], int(below) + 2), dim=1).values, part) if part else low
    return values < limit.view(-1, 1, 1, 1)
