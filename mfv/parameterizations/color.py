"""Decorrelated colour: three numbers a pixel that vary on their own, and never leave [0, 1] as colours."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

HAIR = 1 / 512  # how near 0 and 1 a pixel may be before the sigmoid is undone: below half a grey level
LEAST_SPREAD = 0.01  # of a colour axis, as a share of the widest: grey photographs have no other


@dataclass(frozen=True)
class ColorBasis:
    """RGB = matrix · coordinates.

    Attributes:
        matrix: (3, 3), a column per axis. A square root of the covariance of photographs' pixels
            makes coordinates of variance 1 without correlation: the first is brightness (nine
            tenths of the variance), the others are opponent colours.

    """

    matrix: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, pixels: Tensor) -> ColorBasis:
        """Return the basis of images (n, 3, H, W) in bytes: the principal axes of their pixels, in [0, 1] RGB.

        The axes are as long as the standard deviation along them, each pointing toward more red.
        """
        total, products, count = torch.zeros(3).double(), torch.zeros(3, 3).double(), 0
        for batch in pixels.split(32):
            colors = batch.transpose(0, 1).reshape(3, -1).double().cpu() / 255
            total, products, count = total + colors.sum(1), products + colors @ colors.T, count + colors.shape[1]
        mean = total / count
        variances, axes = torch.linalg.eigh(products / count - torch.outer(mean, mean))
        spread = variances.clamp_min(0).sqrt()
        spread = torch.maximum(spread, spread.max().clamp_min(1e-3) * LEAST_SPREAD).flip(0)
        axes = axes.flip(1)
        axes = axes * torch.where(axes[0] < 0, -1.0, 1.0)
        return cls(tuple(tuple(row) for row in (axes * spread).tolist()))

    @property
    def normalized(self) -> ColorBasis:
        """The same axes, the longest of length 1: for images whose range a sigmoid settles."""
        longest = max(sum(value * value for value in column) for column in zip(*self.matrix, strict=True)) ** 0.5
        return ColorBasis(tuple(tuple(value / longest for value in row) for row in self.matrix))

    def mix(self, coordinates: Tensor) -> Tensor:
        """Return the colours (n, 3, H, W) of coordinates (n, 3, H, W)."""
        return _products(self.matrix, coordinates)

    def unmix(self, colors: Tensor) -> Tensor:
        """Return the coordinates of colours: the inverse of `mix`."""
        inverse = torch.linalg.inv(torch.tensor(self.matrix, dtype=torch.float64))
        return _products(inverse.tolist(), colors)

    def squash(self, coordinates: Tensor) -> Tensor:
        """Return pixels in [0, 1]: the sigmoid of the colours."""
        return self.mix(coordinates).sigmoid()

    def unsquash(self, pixels: Tensor) -> Tensor:
        """Return the coordinates of pixels, kept a hair (1/512) away from 0 and 1."""
        return self.unmix(pixels.logit(eps=HAIR))


# Of 1,000 ImageNet photographs at 224 pixels, one per class; `python scripts/spectrum.py --data FOLDER` computes it.
IMAGENET = ColorBasis(((0.2513, 0.0939, 0.0251), (0.2582, -0.0023, -0.0524), (0.2595, -0.0886, 0.0279)))
RGB = ColorBasis(((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))


def named_basis(color: str) -> ColorBasis:
    """Return the basis for a setting: "imagenet", "none" (RGB), or "images", which is ImageNet's until bound."""
    return RGB if color == "none" else IMAGENET.normalized


def _products(matrix: tuple[tuple[float, ...], ...] | list[list[float]], images: Tensor) -> Tensor:
    # Written out: a matrix product's sum would follow from the number of images.
    red, green, blue = images.unbind(1)
    return torch.stack([row[0] * red + row[1] * green + row[2] * blue for row in matrix], 1)
