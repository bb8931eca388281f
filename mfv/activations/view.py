"""How a unit's images are shown: whole, or as the receptive field around the position that fires."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mfv.activations.receptive_field import ReceptiveField
from mfv.data.transforms import crop_resized


@dataclass(frozen=True)
class View:
    """What the network is shown of an image for a unit, and which part of that the unit sees.

    Attributes:
        size: the side, in pixels, of what the network is shown.
        margin: pixels on each side of it that the unit does not see: room for the layers' padding.
        position: where the unit's value is then read, as `unit_values` takes it.
        field: the receptive field, for units that see less than the image; else None.

    """

    size: int
    margin: int = 0
    position: str | None = None
    field: ReceptiveField | None = None

    @property
    def crops(self) -> bool:
        """Whether the unit sees a part of the image only."""
        return self.field is not None

    @property
    def interior(self) -> tuple[int, int] | None:
        """The first and last row (and column) of the layer's map whose receptive fields lie within the image.

        Elsewhere a unit sees padding, and likes or dislikes the image's border. None where that does not apply.
        """
        if self.field is None:
            return None
        first = max(0, -(self.field.start // self.field.stride))
        last = (self.field.input_size - self.field.size - self.field.start) // self.field.stride
        last = min(last, min(self.field.grid) - 1)
        return (first, last) if first <= last else None

    def window(self, pixels: Tensor, place: int | None) -> Tensor:
        """Return what the network is shown (3, size, size) of an image (3, H, W) for a unit that fires at a place.

        Args:
            pixels: in [0, 1], at the network's input size.
            place: y·W + x in the layer's map; not used for units that see the whole image.

        """
        if self.field is None or place is None:
            return pixels
        y, x = divmod(place, self.field.grid[1])
        top = y * self.field.stride + self.field.start - self.margin
        left = x * self.field.stride + self.field.start - self.margin
        return crop_resized(pixels, (top, left, self.size, self.size), self.size)

    def boxes(self, places: np.ndarray | None) -> np.ndarray | None:
        """Return what the unit sees (n, 4) of images at the network's input size: top, left, height, width.

        It may reach beyond an image. None for units that see the whole image.

        Args:
            places: (n,) as y·W + x in the layer's map, where the unit fires.

        """
        if self.field is None or places is None:
            return None
        corners = np.stack(np.divmod(places, self.field.grid[1]), axis=1) * self.field.stride + self.field.start
        return np.concatenate([corners, np.full_like(corners, self.field.size)], axis=1)

    def seen(self, windows: Tensor) -> Tensor:
        """Return the part of windows (n, 3, s, s), at any scale, that the unit sees."""
        if not self.margin:
            return windows
        side = windows.shape[-1]
        margin = round(self.margin * side / self.size)
        return windows[..., margin : side - margin, margin : side - margin]


def unit_view(field: ReceptiveField | None, input_size: int, position: str | None) -> View:
    """Return how a unit's images are shown.

    A unit that sees less than the image gets a window in which one position has its whole receptive
    field, clear of the padding: that position's value is then the unit's.
    """
    if field is None or field.size >= input_size or position == "mean":
        return View(input_size, position=position)
    place = max(0, -(field.start // field.stride))
    margin = field.start + place * field.stride
    size = field.size + 2 * margin
    return View(size, margin, f"{place},{place}", field)


def to_bytes(pixels: Tensor) -> Tensor:
    """Return pixels in [0, 1] as uint8, a quarter of the memory."""
    return (pixels * 255).round_().to(torch.uint8)
