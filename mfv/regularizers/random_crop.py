"""A random part of the image, enlarged."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Interval
from torch import Tensor

from mfv.limits import NotAbove
from mfv.regularizers.base import Moment, Regularizer
from mfv.regularizers.views import sampled, window


@dataclass(frozen=True)
class RandomCrop(Regularizer):
    """Show the network a square part of each image, its size and place drawn at random (Fel et al. 2023).

    The part is enlarged to the view's size. What the network recognizes in any part of it is there at
    several sizes and places.

    Attributes:
        smallest: the part's smallest side, as a share of the image's, above 0.
        largest: its largest side, at most 1.
        spread: the standard deviation of the part's middle around the image's, as a share of the
            side; None puts the part anywhere with equal chance. The part lies within the image.

    """

    smallest: Annotated[float, Interval(gt=0, le=1), NotAbove("largest"), "a share of the side"] = 0.5
    largest: Annotated[float, Interval(gt=0, le=1), "a share of the side"] = 0.95
    spread: Annotated[float | None, Ge(0), "a share of the side"] = None

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the enlarged parts, bilinear."""
        height, width = pixels.shape[-2:]
        side = self.smallest + (self.largest - self.smallest) * moment.uniform("crop/side", 1)[:, 0]
        if self.spread is None:
            begin = moment.uniform("crop/place", 2) * (1 - side)[:, None]
        else:
            middle = 0.5 + self.spread * moment.normal("crop/place", 2)
            begin = (middle - side[:, None] / 2).clamp_min(0).minimum((1 - side)[:, None])
        rows = window(begin[:, 0] * height, side * height, height)
        return sampled(pixels, rows, window(begin[:, 1] * width, side * width, width))
