"""How a unit's images are shown: whole, or as the receptive field around the position that fires."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mfv.activations.receptive_field import ReceptiveField
from mfv.activations.values import coordinates, unit_values
from mfv.data.transforms import crop_resized
from mfv.models.target import TargetModel

ROUNDING = 1e-3  # of the largest value: what a GPU's convolutions may round

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class View:
    """What the network is shown of an image for a unit, and which part of that the unit sees.

    Attributes:
        size: the side, in pixels, of what the network is shown.
        margin: pixels above and to the left that the unit does not see: room for the layers' padding. There are as many
            below and to the right, or more.
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
        return seen_part(windows, self.size, self.margin, self.field.size) if self.field else windows


def seen_part(windows: Tensor, size: int, margin: int, seen: int) -> Tensor:
    """Return the part of windows (n, 3, s, s), at any scale, of which `seen` of `size` pixels begin behind a margin."""
    side = windows.shape[-1]
    begin, behind = round(margin * side / size), round((size - margin - seen) * side / size)
    return windows[..., begin : side - behind, begin : side - behind]


def view_in(model: TargetModel, layer: str, field: ReceptiveField | None, position: str | None) -> View:
    """Return how the images of a layer's units are shown, by `unit_view`: so that they give what whole images give.

    Layers with a stride that pad as TensorFlow does ("same") pad more or less by their input's size. Where the network
    has such, the window is larger, by less than a stride, so that its size leaves the same rest as the image's. A
    network that takes no other size than its own is shown whole images.
    """
    view = unit_view(field, model.input_size, position)
    if view.field is None and field is not None and field.size < model.input_size and coordinates(position):
        logger.info(
            "layer %s: at position %s a unit sees the image's border, so it is shown whole ones", layer, position
        )
    if view.field is not None and (reason := _refusal(model, layer, view.size)):
        logger.info(
            "layer %s: %s takes no image of %d pixels a side, so it is shown whole ones, not what a unit sees (%s)",
            layer, model.name, view.size, reason,
        )  # fmt: skip
        return View(model.input_size, position=position)
    if view.field is None or (error := _error(model, layer, view)) <= ROUNDING:
        return view
    in_phase = replace(view, size=view.size + (model.input_size - view.size) % view.field.stride)
    return in_phase if _error(model, layer, in_phase) < error / 10 else view


@torch.inference_mode()
def tell_of_first_token(model: TargetModel, layer: str) -> None:
    """Warn where a layer's first token, at which a unit is read by default, is a corner of the image.

    timm's networks say how many tokens they put before the patches (`num_prefix_tokens`); of others it is not known.
    """
    if getattr(model.network, "num_prefix_tokens", None) != 0:
        return
    pixels = torch.zeros(1, 3, model.input_size, model.input_size).to(model.mean)
    if model.activations(pixels, [layer])[layer].ndim == 3:
        logger.warning(
            "layer %s: %s has no class token, so that a unit is read at the first patch, a corner of the image: "
            "position=mean reads all", layer, model.name,
        )  # fmt: skip


@torch.inference_mode()
def _refusal(model: TargetModel, layer: str, size: int) -> str | None:
    """Return why the network does not come to a layer with images of a size; None where it does."""
    try:
        model.activations(torch.zeros(1, 3, size, size).to(model.mean), [layer])
    except Exception as error:  # networks have their own ways to refuse a size
        lines = str(error).strip().splitlines()
        return lines[0] if lines else type(error).__name__
    return None


@torch.inference_mode()
def _error(model: TargetModel, layer: str, view: View) -> float:
    """Return by how much of the largest value a window gives other than the image does, at its middle, of noise."""
    assert view.field is not None
    if view.interior is None:
        return 0.0
    generator = torch.Generator("cpu").manual_seed(0)
    size = (3, model.input_size, model.input_size)
    pixels = torch.rand(size, generator=generator, device="cpu").to(model.mean.device)
    row = sum(view.interior) // 2
    whole = model.activations(pixels[None], [layer])[layer][0, :, row, row]
    window = view.window(pixels, row * view.field.grid[1] + row)
    alone = unit_values(model.activations(window[None], [layer])[layer], view.position)[0][0]
    return float((whole - alone).abs().max() / whole.abs().max().clamp_min(1e-12))


def unit_view(field: ReceptiveField | None, input_size: int, position: str | None) -> View:
    """Return how a unit's images are shown, whichever the network.

    A unit that sees less than the image gets a window in which one position has its whole receptive
    field, clear of the padding: that position's value is then the unit's. One that is asked for at a place where it
    sees the layers' padding is shown whole images: a window has no such border.
    """
    if field is None or field.size >= input_size or position == "mean":
        return View(input_size, position=position)
    place = max(0, -(field.start // field.stride))
    margin = field.start + place * field.stride
    size = field.size + 2 * margin
    view = View(size, margin, f"{place},{place}", field)
    given = coordinates(position)
    if given and (view.interior is None or not all(view.interior[0] <= each <= view.interior[1] for each in given)):
        return View(input_size, position=position)
    return view


def to_bytes(pixels: Tensor) -> Tensor:
    """Return pixels in [0, 1] as uint8, a quarter of the memory."""
    return (pixels * 255).round_().to(torch.uint8)
