"""Random contrast and brightness before the network: what it recognizes must survive another exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class RandomTone(Regularizer):
    """Show the network each image at another contrast and brightness, each by its own draw.

    Attributes:
        contrast: the largest change of contrast about mid-grey, as a share (0–1), either way.
        brightness: the largest shift, as a share of the range of pixels (0–1), either way.

    """

    contrast: Annotated[float, Interval(ge=0, le=1), "a share"] = 0.6
    brightness: Annotated[float, Interval(ge=0, le=1), "a share of the range of pixels"] = 0.15

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return one random exposure of each image; it may leave [0, 1]."""
        draws = 2 * moment.uniform("tone", 2) - 1
        gain = (1 + self.contrast * draws[:, 0])[:, None, None, None]
        shift = (self.brightness * draws[:, 1])[:, None, None, None]
        return torch.addcmul(0.5 * (1 - gain) + shift, pixels, gain)  # (pixels − ½)·gain + ½ + shift in one pass
