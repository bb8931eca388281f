"""The paper's total-variation denoising after every step."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.regularizers.tv_bregman_solver import split_bregman
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class TVBregman(Regularizer):
    """Denoise by split Bregman after every step (Goldstein & Osher 2009), as the paper does.

    What scikit-image's `denoise_tv_bregman` computes, for all images at once and on any device.

    Attributes:
        weight: how closely the result keeps to the image, on 0–255 data: a SMALLER weight smooths
            more. May follow a schedule.
        iterations: at most this many sweeps.
        tolerance: an image stops when its sweep changes it by less (RMS, 0–255 data).

    """

    weight: Annotated[float | Schedule, Gt(0)] = 0.4
    iterations: Annotated[int, Ge(1), "a number of sweeps"] = 100
    tolerance: Annotated[float, Ge(0)] = 1e-3

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the denoised pixels; of a single row or column, which has nothing to denoise, themselves."""
        if min(pixels.shape[-2:]) < 2:
            return pixels
        weight = value_at(self.weight, moment.iteration, moment.iterations)
        # On [0, 1] data the same result takes weight·255 and tolerance/255.
        return split_bregman(pixels, weight * 255, iterations=self.iterations, eps=self.tolerance / 255)
