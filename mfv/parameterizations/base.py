"""What a parameterization is: numbers that the optimizer moves, and the image that they stand for."""

from __future__ import annotations

from typing import ClassVar, Protocol

from torch import Tensor

from mfv.errors import MfvError
from mfv.limits import Checked


class UnitImages(Protocol):
    """The unit, as a parameterization that takes something from its images may ask for it."""

    pixels: Tensor  # (n, 3, H, W) uint8, the unit's images as the network is shown them


class Parameterization(Checked):
    """Real numbers (n, …) for images (n, 3, H, W), each image's own. Frozen: it holds settings, no state.

    The optimizer follows the gradient with respect to the numbers. The image is the same in any of
    them, but not what lies a step away: in pixels each moves on its own, in frequencies shapes do.

    Attributes:
        step_unit: what a step of 1 in a recipe means in the parameters' own units.
        bounded: whether any parameters at all give pixels in [0, 1]; else the image is clipped to
            that range after every step.

    """

    step_unit: ClassVar[float] = 1.0
    bounded: ClassVar[bool] = True

    def bind(self, subject: UnitImages) -> Parameterization:
        """Return the parameterization with what it takes from the unit's images; by default nothing."""
        return self

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the parameters (n, …) of images (n, 3, H, H) in [0, 1], or of the nearest that there are."""
        raise NotImplementedError(f"{type(self).__name__} does not say how an image is written in it")

    def decode(self, parameters: Tensor) -> Tensor:
        """Return the images (n, 3, H, H), differentiably and each from its own parameters."""
        raise NotImplementedError(f"{type(self).__name__} does not say what image its parameters are")


def square_side(pixels: Tensor) -> int:
    """Return the side of square images (n, 3, H, H); from half a spectrum another shape could not be told."""
    height, width = pixels.shape[-2:]
    if pixels.ndim != 4 or height != width:
        raise MfvError(
            f"an image of shape {tuple(pixels.shape)} has no such parameters; give square ones, (n, 3, H, H)"
        )
    return height
