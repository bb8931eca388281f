"""Random rotation, scale and shift before the network: what it recognizes must survive them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import torch
from annotated_types import Gt, Interval
from torch import Tensor
from torch.nn import functional as F

from mfv.limits import NotAbove
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
        exact: whether the gradient comes back by the exact transpose, or read at the inverse places: a third of
            the time on a CPU. Where the gradient's high frequencies are dampened anyway the two paint alike; where they
            are not (render=lucid) the exact one climbs twice as fast.

    """

    rotation: Annotated[float, Interval(ge=0, le=180), "an angle in degrees"] = 10.0
    smallest: Annotated[float, Gt(0), NotAbove("largest"), "a share of the image's side"] = 0.6
    largest: Annotated[float, Gt(0), "a share of the image's side"] = 1.3
    shift: Annotated[float, Interval(ge=0, le=1), "a share of half the side"] = 0.05
    exact: bool = True

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return one random view of each image, bilinear, with reflected borders."""
        draws = moment.uniform("affine", 4).double()
        angle = (2 * draws[:, 0] - 1) * math.radians(self.rotation)
        scale = self.smallest + (self.largest - self.smallest) * draws[:, 1]
        shift = (2 * draws[:, 2:4] - 1) * self.shift
        turn, shift = torch.polar(scale, angle), torch.view_as_complex(shift)
        return view(pixels, turn, shift, "reflection") if self.exact else _View.apply(pixels, turn, shift)


class _View(torch.autograd.Function):
    """A view, whose gradient comes back by reading it at the inverse places.

    Between pixels of the same size, and within the picture, this is the transpose of reading; beyond, it takes the
    reflection for fixed. `grid_sample`'s own backward pass writes instead of reading, and works out the gradient
    with respect to the places too: three times as long on a CPU.
    """

    @staticmethod
    def forward(context: Any, pixels: Tensor, turn: Tensor, shift: Tensor) -> Tensor:
        context.save_for_backward(turn, shift)
        return view(pixels, turn, shift, "reflection", by_columns=pixels.device.type == "cpu")

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        turn, shift = context.saved_tensors
        found = view(gradients[0], 1 / turn, -shift / turn, "zeros", by_columns=gradients[0].device.type == "cpu")
        area = turn.abs().square().to(found)[:, None, None, None]
        gradient = torch.empty_like(found, memory_format=torch.contiguous_format)
        return torch.div(found, area, out=gradient), None, None


def view(pixels: Tensor, turn: Tensor, shift: Tensor, padding: str, by_columns: bool = False) -> Tensor:
    """Return the images read at turn·z + shift, bilinear; beyond the border as `grid_sample`'s `padding` says.

    By columns the result lies in memory one column after the other. It is the same to the bit, and on a CPU there
    sooner: a slightly turned row takes half as long again to twice as long to read as a slightly turned column.
    """
    grid = affine_grid(turn, shift, (pixels.shape[-2], pixels.shape[-1]), by_columns).to(pixels.dtype)
    found = F.grid_sample(pixels, grid, padding_mode=padding, align_corners=False)
    return found.transpose(-2, -1) if by_columns else found


def affine_grid(turn: Tensor, shift: Tensor, size: tuple[int, int], by_columns: bool = False) -> Tensor:
    """Return where the pixels of a turned and scaled view lie, turn·z + shift: (n, h, w, 2), as `grid_sample` counts.

    Args:
        turn: (n,) complex: scale · e^(i·angle).
        shift: (n,) complex: of the view's centre, to the right and i times down, in halves of the side.
        size: height and width.
        by_columns: whether rows and columns change places: (n, w, h, 2).

    Both are double: products of complex numbers may be rounded otherwise in another batch; single precision hides it.

    """
    rows, columns = (centers(side, shift.real.dtype, shift.device) for side in size)
    down = (1j * turn[:, None] * rows + shift[:, None]).to(torch.complex64)
    right = (turn[:, None] * columns).to(torch.complex64)
    places = right[:, :, None] + down[:, None, :] if by_columns else down[:, :, None] + right[:, None, :]
    return torch.view_as_real(places)


@lru_cache(maxsize=8)
def centers(side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the middles of a side's pixels, from −1 to 1 between its outer edges, as `grid_sample` counts them."""
    return (2 * torch.arange(side, dtype=dtype, device=device) + 1) / side - 1
