"""A border around what the network sees."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Interval
from torch import Tensor
from torch.nn import functional as F

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class Padding(Regularizer):
    """Show the network each image with a border, so that jitter and crops find something there (Olah et al. 2017).

    The view grows by twice the amount. A `Jitter` in crop mode after it takes that back; what remains
    is scaled to the network's input.

    Attributes:
        amount: pixels at each side; less than the view's side.
        mode: what the border shows: "mean" (the model's mean colour), "constant" (`value`),
            "reflect" (the image's reflection) or "random" (a grey of each image's own, at every step).
        value: of a constant border, 0–1.

    """

    amount: Annotated[int, Ge(0), "a number of pixels"] = 12
    mode: Literal["mean", "constant", "reflect", "random"] = "mean"
    value: Annotated[float, Interval(ge=0, le=1), "a grey"] = 0.5

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the larger images."""
        amount = min(self.amount, min(pixels.shape[-2:]) - 1)
        border = [amount] * 4
        if self.mode == "reflect":
            return F.pad(pixels, border, mode="reflect")
        inside = F.pad(torch.ones_like(pixels[:1, :1]), border)
        return torch.where(inside > 0, F.pad(pixels, border), self._color(moment))

    def _color(self, moment: Moment) -> Tensor:
        if self.mode == "constant":
            return torch.full_like(moment.mean_color, self.value)
        if self.mode == "random":
            return moment.uniform(f"padding/{self.amount}", 1).view(-1, 1, 1, 1)
        return moment.mean_color
