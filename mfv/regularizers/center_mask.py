"""The paper's centre bias: late in the optimization only the centre moves."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class CenterMask(Regularizer):
    """Stop the gradient near the border of what the network sees (Nguyen et al. 2016).

    The step is divided by the gradient's mean over all pixels, so that the open region moves
    1/(1 − 2·margin)² times as far as without a mask; `mfv.rendering.paper` makes up for it where asked.

    Attributes:
        margin: the width of the border that stays, as a share of the side (the paper: 50 of 227 pixels).

    """

    margin: Annotated[float, Interval(ge=0, lt=0.5), "a share of the side"] = 50 / 227

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the gradient, zero within the margin."""
        height, width = gradient.shape[-2:]
        top, left = round(self.margin * height), round(self.margin * width)
        mask = torch.zeros_like(gradient[:1, :1])
        mask[..., top : height - top, left : width - left] = 1
        return gradient * mask
