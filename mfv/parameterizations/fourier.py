"""Frequencies in place of pixels, the low ones ahead."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from mfv.parameterizations.base import Parameterization, UnitImages, square_side
from mfv.parameterizations.color import ColorBasis, named_basis
from mfv.parameterizations.spectrum import frequency_scale, restored, transformed

CONTRAST = 4.0  # lucid's divisor of the image before the sigmoid: its step sizes mean the same here


@dataclass(frozen=True)
class Fourier(Parameterization):
    """Coefficients of a real Fourier transform in decorrelated colours (Olah, Mordvintsev & Schubert 2017).

    The coefficients (n, 3, H, H//2 + 1, 2) are divided by frequency^exponent, transformed, mixed to
    RGB and brought into [0, 1] by a sigmoid. With exponent 1 a step of equal size in all of them
    has a natural image's spectrum: broad shapes come first, and colours change on their own.

    An image comes back from `encode` and `decode` to within half a grey level: pixels at 0 and 1
    keep 1/512 of distance.

    Attributes:
        exponent: 0 treats all frequencies alike; 1 (lucid's) as natural images have them.
        color: the colour axes: "imagenet", "images" (those of the unit's images) or "none" (RGB).

    """

    exponent: Annotated[float, Interval(ge=0, le=4), "an exponent"] = 1.0
    color: Literal["imagenet", "images", "none"] = "imagenet"
    basis: ColorBasis | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.basis is None:
            object.__setattr__(self, "basis", named_basis(self.color))

    def bind(self, subject: UnitImages) -> Fourier:
        """Take the colour axes of the unit's images, where that is wanted."""
        return replace(self, basis=ColorBasis.of(subject.pixels).normalized) if self.color == "images" else self

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the coefficients (n, 3, H, H//2 + 1, 2), real and imaginary parts."""
        assert self.basis is not None
        side = square_side(pixels)
        coordinates = self.basis.unsquash(pixels) * CONTRAST
        scale = frequency_scale(side, self.exponent, pixels.dtype, pixels.device)
        return torch.view_as_real(transformed(coordinates) / scale)

    def decode(self, parameters: Tensor) -> Tensor:
        """Return the images (n, 3, H, H)."""
        assert self.basis is not None
        scale = frequency_scale(parameters.shape[2], self.exponent, parameters.dtype, parameters.device)
        return self.basis.squash(restored(torch.view_as_complex(parameters) * scale) / CONTRAST)
