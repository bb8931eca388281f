"""Random rotation, scale and shift before the network: what it recognizes must survive them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class RandomAffine(Regularizer):
    """Show the network each image rotated, scaled and shifted at random, each by its own draw.

    Strong transforms make images that other networks recognize too.

    Attributes:
        rotation: the largest angle, in degrees, either way.
        smallest: the smallest side of the view, as a share of the image: below 1 the network sees a part, enlarged.
        largest: the largest side of the view: above 1 it sees all of the image, with its reflection around.
        shift: the largest shift, as a share of half the side, either way.

    """

    rotation: float = 10.0
    smallest: float = 0.6
    largest: float = 1.3
    shift: float = 0.05

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return one random view of each image, bilinear, with reflected borders."""
        draws = moment.uniform("affine", 4)
        angle = (2 * draws[:, 0] - 1) * math.radians(self.rotation)
        scale = self.smallest + (self.largest - self.smallest) * draws[:, 1]
        shift = (2 * draws[:, 2:4] - 1) * self.shift
        cosine, sine = scale * angle.cos(), scale * angle.sin()
        rows, columns = (centers(side, pixels) for side in pixels.shape[-2:])
        grid = pixels.new_empty(len(pixels), len(rows), len(columns), 2)
        for axis, (across, down) in enumerate(((cosine, -sine), (sine, cosine))):
            begin = down[:, None] * rows + shift[:, axis, None]
            torch.add(begin[:, :, None], (across[:, None] * columns)[:, None, :], out=grid[..., axis])
        return F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)


def centers(side: int, like: Tensor) -> Tensor:
    """Return the middles of a side's pixels, from −1 to 1 between its outer edges, as `grid_sample` counts them."""
    return (2 * torch.arange(side, dtype=like.dtype, device=like.device) + 1) / side - 1
