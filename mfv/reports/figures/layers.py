"""Layers side by side: what their units like, each picture as large as what the unit sees."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mfv.reports.figures.sheet import QUIET, SIZE, SMALL, Figure, Sheet, text_width

GUTTER, GROUP = 0.06, 0.2  # centimetres: between a unit's facets, between units
BLOCKS, LINES = 0.7, 0.35  # between layers: across, down
HEAD, FOOT = 0.42, 0.3  # the layer's name above its pictures, the units' numbers below
LARGEST, SMALLEST = 3.0, 1.3  # the side of a picture of the whole image
READABLE = 0.5  # pictures below this side are enlarged
HAIRLINE = "#b4b8c0"  # around pictures, so that white ones have an edge


@dataclass(frozen=True)
class LayerUnits:
    """A layer with some of its units.

    Attributes:
        name: of the layer.
        field: pixels a side of what its units see.
        units: their numbers.
        images: of each unit its facets' visualizations, (k, 3, h, w) in [0, 1].

    """

    name: str
    field: int
    units: Sequence[int]
    images: Sequence[Tensor]


def layers_figure(layers: Sequence[LayerUnits], width: float = 17.5) -> Figure:
    """Draw layers from the first to the last, their pictures on one scale of pixels.

    Layers that see so little that their pictures would be below half a centimetre are enlarged by a whole number,
    which stands behind the layer's name.

    Args:
        layers: in the network's order.
        width: of the figure in centimetres.

    """
    largest = max(layer.field for layer in layers)
    fitting = min(_fitting(layer, width) for layer in layers if layer.field == largest)
    scale = min(LARGEST, max(SMALLEST, fitting)) / largest
    blocks = [_Block.of(layer, scale, width) for layer in layers]
    places, x, y, deepest = [], 0.0, 0.0, 0.0
    for block in blocks:
        if x and x + block.width > width + 1e-6:
            x, y, deepest = 0.0, y + deepest + LINES, 0.0
        places.append((x, y))
        x, deepest = x + block.width + BLOCKS, max(deepest, block.height)
    sheet = Sheet(width, y + deepest)
    for block, (left, top) in zip(blocks, places, strict=True):
        block.draw(sheet, left, top)
    return sheet.figure


@dataclass(frozen=True)
class _Block:
    """A layer's part of the figure."""

    layer: LayerUnits
    side: float
    title: str
    about: str
    lines: list[list[int]]  # places of the units, line by line

    @classmethod
    def of(cls, layer: LayerUnits, scale: float, room: float) -> _Block:
        true = layer.field * scale
        factor = 1 if true >= READABLE else math.ceil(READABLE / true)
        side = true * factor
        about = f"{layer.field} × {layer.field} pixels" + (f", enlarged ×{factor}" if factor > 1 else "")
        lines: list[list[int]] = [[]]
        left = 0.0
        for place, images in enumerate(layer.images):
            across = _across(len(images), side)
            if lines[-1] and left + across > room + 1e-6:
                lines.append([])
                left = 0.0
            lines[-1].append(place)
            left += across + GROUP
        return cls(layer, side, layer.name, about, lines)

    @property
    def width(self) -> float:
        across = [
            sum(_across(len(self.layer.images[place]), self.side) for place in line) + (len(line) - 1) * GROUP
            for line in self.lines
        ]
        title = text_width(self.title, SIZE, bold=True) + 0.15 + text_width(self.about, SMALL)
        return max(*across, title)

    @property
    def height(self) -> float:
        return HEAD + len(self.lines) * (self.side + FOOT)

    def draw(self, sheet: Sheet, left: float, top: float) -> None:
        sheet.text(left, top + 0.26, self.title, SIZE, bold=True)
        sheet.text(left + text_width(self.title, SIZE, bold=True) + 0.15, top + 0.26, self.about, SMALL, QUIET)
        for number, line in enumerate(self.lines):
            x, y = left, top + HEAD + number * (self.side + FOOT)
            for place in line:
                images = self.layer.images[place]
                across = _across(len(images), self.side)
                for facet, image in enumerate(images):
                    sheet.picture(x + facet * (self.side + GUTTER), y, self.side, image, HAIRLINE, 0.3)
                baseline = y + self.side + 0.22
                sheet.text(x + across / 2, baseline, str(self.layer.units[place]), SMALL, QUIET, "center")
                x += across + GROUP


def _fitting(layer: LayerUnits, width: float) -> float:
    """Return the side with which all of a layer's pictures stand in one line."""
    count = sum(len(images) for images in layer.images)
    gaps = (count - len(layer.images)) * GUTTER + (len(layer.images) - 1) * GROUP
    return (width - gaps) / count


def _across(count: int, side: float) -> float:
    return count * side + (count - 1) * GUTTER
