"""Gaussian blur between steps."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class GaussianBlur(Regularizer):
    """Blur the image every few steps (Yosinski et al. 2015; Øygard 2015).

    Attributes:
        sigma: the radius, in pixels. May follow a schedule.
        every: blur each this many steps.

    """

    sigma: Annotated[float | Schedule, Ge(0), "a number of pixels"] = 1.0
    every: Annotated[int, Ge(1), "a number of steps"] = 4

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the blurred pixels, or the pixels as they are between blurs."""
        from torchvision.transforms.v2.functional import gaussian_blur  # takes seconds to load, where nothing blurs

        sigma = value_at(self.sigma, moment.iteration, moment.iterations)
        if sigma <= 0 or (moment.iteration + 1) % self.every:
            return pixels
        radius = min(max(1, round(3 * sigma)), min(pixels.shape[-2:]) - 1)
        return gaussian_blur(pixels, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])
