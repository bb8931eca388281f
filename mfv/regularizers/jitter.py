"""The view moves by whole pixels at every step."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.regularizers.views import sampled


@dataclass(frozen=True)
class Jitter(Regularizer):
    """Show the network each image moved by its own random number of whole pixels, down and to the right.

    Patterns bound to the network's stride do not survive it. Mahendran & Vedaldi (2016) move by up
    to a quarter of the unit's stride; Olah et al. (2017) by 8 and again by 4 pixels, between other
    transforms. (`Octave.jitter` moves the network's view over a larger canvas instead.)

    Attributes:
        amount: pixels. At most a quarter of the view's side is used, for units with small receptive fields.
        mode: "roll" moves by −amount to amount, and what leaves at one side enters at the other.
            "crop" shows a part smaller by the amount: put a `Padding` before it to keep the size.

    """

    amount: Annotated[int, Ge(0), "a number of pixels"] = 8
    mode: Literal["roll", "crop"] = "roll"

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the moved images; the pixels keep their values."""
        height, width = pixels.shape[-2:]
        amount = min(self.amount, min(height, width) // 4)
        # The amount is part of the key, so that two jitters in a chain draw different numbers.
        draws = moment.uniform(f"jitter/{self.mode}/{self.amount}", 2)
        if self.mode == "crop":
            places, kept = torch.floor(draws * (amount + 1)), amount
        else:
            places, kept = amount - torch.floor(draws * (2 * amount + 1)), 0
        rows = torch.arange(height - kept, device=pixels.device) + places[:, :1]
        columns = torch.arange(width - kept, device=pixels.device) + places[:, 1:]
        return sampled(pixels, rows % height, columns % width, mode="nearest")
