"""Facets beside real images: per facet its visualization, its mean image and its nearest images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from mfv.reports.figures.sheet import QUIET, SIZE, SMALL, Figure, Sheet, colours_of, fit
from mfv.structures import FacetSet

GUTTER, GROUP, GAP = 0.06, 0.14, 0.5  # centimetres: between tiles, between kinds of pictures, between panels
LABEL, HEADER, HEADING, BETWEEN = 0.42, 0.32, 0.5, 0.12  # heights of lines of text; and between rows
WIDE = 12.0  # from this width on, panels stand two abreast
SHOWN = 8  # nearest images, in two rows


def facets_figure(
    facet_sets: Sequence[FacetSet], nearest: Sequence[Sequence[Tensor]], width: float = 17.5, shown: int = SHOWN
) -> Figure:
    """Draw units' facets, a panel each; with several units, under each one's name.

    Args:
        facet_sets: one per unit, with visualizations.
        nearest: per unit and facet, the nearest images (m, 3, h, w) in [0, 1].
        width: of the figure in centimetres; from 12 on, panels stand in two columns.
        shown: of the nearest images, at most.

    """
    if [len(each) for each in nearest] != [len(each) for each in facet_sets]:
        raise ValueError("every facet needs its nearest images")
    most = max(len(found) for found in facet_sets)
    across = 2 if width >= WIDE and most > 1 else 1
    panel = _Panel((width - (across - 1) * GAP) / across, shown)
    named = len(facet_sets) > 1
    rows = [math.ceil(len(found) / across) for found in facet_sets]
    height = sum((HEADING if named else 0) + HEADER + each * panel.height for each in rows) - BETWEEN
    sheet = Sheet(width, height)
    top = 0.0
    for found, photographs, down in zip(facet_sets, nearest, rows, strict=True):
        if named:
            name = found.unit.label or f"{found.unit.layer}, unit {found.unit.index}"
            sheet.text(0, top + 0.32, fit(name, SIZE + 1, width, bold=True), SIZE + 1, bold=True)
            top += HEADING
        colours = colours_of(found.facets)
        for place in range(len(found)):
            column, row = divmod(place, down)
            left = column * (panel.width + GAP)
            if row == 0:
                panel.header(sheet, left, top + 0.22)
            panel.draw(sheet, left, top + HEADER + row * panel.height, found, place, photographs[place], colours[place])
        top += HEADER + down * panel.height
    return sheet.figure


@dataclass(frozen=True)
class _Panel:
    """One facet's part of the figure: all have the same size."""

    width: float
    shown: int

    @property
    def across(self) -> int:
        """Nearest images in a row."""
        return math.ceil(self.shown / 2)

    @property
    def side(self) -> float:
        """Of the visualization and the mean image, such that two rows of nearest images are as high."""
        return (self.width - 2 * GROUP - (self.across / 2 - 1) * GUTTER) / (2 + self.across / 2)

    @property
    def small(self) -> float:
        return (self.side - GUTTER) / 2

    @property
    def height(self) -> float:
        return LABEL + self.side + BETWEEN

    @property
    def places(self) -> tuple[float, float, float]:
        """Where visualization, mean image and nearest images begin."""
        return 0.0, self.side + GROUP, 2 * (self.side + GROUP)

    def header(self, sheet: Sheet, left: float, baseline: float) -> None:
        for place, name in zip(self.places, ("visualization", "mean image", "nearest images"), strict=True):
            sheet.text(left + place, baseline, name, SMALL, QUIET)

    def draw(
        self, sheet: Sheet, left: float, top: float, found: FacetSet, place: int, photographs: Tensor, colour: str
    ) -> None:
        assert found.images is not None, "only visualizations are drawn"
        visualization, mean, nearest = self.places
        sheet.facet(left, top + 0.28, found[place], colour, self.width)
        top += LABEL
        sheet.picture(left + visualization, top, self.side, found.images[place])
        sheet.picture(left + mean, top, self.side, found.mean_images[place])
        for number, photograph in enumerate(photographs[: self.shown]):
            row, column = divmod(number, self.across)
            step = self.small + GUTTER
            sheet.picture(left + nearest + column * step, top + row * step, self.small, photograph)
