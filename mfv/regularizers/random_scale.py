"""The view grows or shrinks at random."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from annotated_types import Gt
from torch import Tensor

from mfv.limits import NotAbove
from mfv.regularizers.base import Moment, Regularizer
from mfv.regularizers.views import sampled, window


@dataclass(frozen=True)
class RandomScale(Regularizer):
    """Show the network each image enlarged by its own random factor, about its middle (Olah et al. 2017).

    The view keeps its size: above 1 the border is cut off, below 1 the image's reflection is around.

    Attributes:
        factors: what is drawn from, each above 0; None draws from the range.
        smallest: the range's lower end.
        largest: its upper end.

    """

    factors: Annotated[Sequence[float] | None, Gt(0), "one or more factors"] = None
    smallest: Annotated[float, Gt(0), NotAbove("largest"), "a factor"] = 0.9
    largest: Annotated[float, Gt(0), "a factor"] = 1.1

    def __post_init__(self) -> None:
        if self.factors is not None:
            object.__setattr__(self, "factors", tuple(self.factors))

    @property
    def _choices(self) -> tuple[float, ...]:
        return (self.smallest, self.largest) if self.factors is None else tuple(self.factors)

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the scaled images, bilinear."""
        height, width = pixels.shape[-2:]
        draws = moment.uniform(f"scale/{self._choices}", 1)[:, 0]
        if self.factors is None:
            factor = self.smallest + (self.largest - self.smallest) * draws
        else:
            factor = _on(draws.device, self._choices)[(draws * len(self.factors)).long()]
        tall, wide = height / factor, width / factor
        rows = window((height - tall) / 2, tall, height)
        return sampled(pixels, rows, window((width - wide) / 2, wide, width))


@lru_cache(maxsize=8)
def _on(device: torch.device, factors: tuple[float, ...]) -> Tensor:
    """Return the factors on a device: sent there once, as every sending waits for it."""
    return torch.tensor(factors, device=device)
