"""Noise on what the network sees."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class GaussianNoise(Regularizer):
    """Show the network each image with its own normal noise, new at every step (Fel et al. 2023).

    Fine patterns that only exact pixels carry do not survive it.

    Attributes:
        deviation: of each pixel and channel, in grey levels (0–255). May follow a schedule.

    """

    deviation: Annotated[float | Schedule, Ge(0), "a number of grey levels"] = 10.0

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the images with noise, not clipped."""
        deviation = value_at(self.deviation, moment.iteration, moment.iterations) / 255
        # Each image's numbers come from a seed of its own: a table of them for all steps would be large.
        noise = [
            torch.randn(
                pixels.shape[1:], generator=torch.Generator(pixels.device).manual_seed(seed), device=pixels.device
            )
            for seed in moment.seeds("noise")
        ]
        return pixels + deviation * torch.stack(noise).to(pixels)
