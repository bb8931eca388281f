"""One picture of a unit's facets: where each started, what became of it, and its nearest images."""

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw
from torch import Tensor

from mfv.reports import wording
from mfv.reports.images import square
from mfv.reports.palette import facet_colours
from mfv.reports.typography import draw_arrow, draw_text, fit
from mfv.structures import FacetSet

INK, QUIET, GROUND = "#16181d", "#5c6370", "#ffffff"
MARGIN, GUTTER, GAP = 40, 8, 44  # around the sheet, between tiles, between facets
LARGE, SMALL = 224, 108  # pixels: the visualization; an exemplar, two of which are as high with their gutter
START, BETWEEN = 164, 34  # the mean image, and the room for the arrow beside it
CAPTION, HEADER, TITLE = 32, 36, 60  # heights of the lines of text


def contact_sheet(
    facet_set: FacetSet, exemplars: Sequence[Tensor], title: str | None = None, columns: int = 6
) -> Image.Image:
    """Draw per facet its mean image, its visualization and its nearest images.

    `exemplars` holds one tensor (m, 3, h, w) per facet, bytes or in [0, 1], nearest first; up to `columns` of each are
    shown, in two rows. Facets stand side by side in two columns from five on and in three from nineteen on:
    twelve facets are less than 2,000 pixels high. Without visualizations the mean images are shown alone.
    """
    if len(exemplars) != len(facet_set):
        raise ValueError(f"{len(facet_set)} facets need as many tensors of exemplars, got {len(exemplars)}")
    count = len(facet_set)
    across = 1 if count < 5 else 2 if count < 19 else 3
    down = math.ceil(count / across)
    panel = _Panel(columns, rendered=facet_set.images is not None)
    width = 2 * MARGIN + across * panel.width + (across - 1) * GAP
    height = MARGIN + TITLE + HEADER + down * (CAPTION + LARGE + GUTTER * 2) + MARGIN - GUTTER
    sheet = Image.new("RGB", (width, height), GROUND)
    draw = ImageDraw.Draw(sheet)
    unit = facet_set.unit
    heading = title or f"{unit.label or f'unit {unit.index}'}: {_facets(count)}"
    draw_text(draw, MARGIN, MARGIN + 24, fit(heading, 28, width - 2 * MARGIN), 28, INK)
    about = f"{unit} · {wording.images(len(facet_set.ids))}"
    draw_text(draw, MARGIN, MARGIN + 48, fit(about, 15, width - 2 * MARGIN), 15, QUIET)
    colours = facet_colours(max((facet.index for facet in facet_set.facets), default=0) + 1)
    for position in range(count):
        column, row = position // down, position % down
        left = MARGIN + column * (panel.width + GAP)
        if row == 0:
            panel.header(draw, left, MARGIN + TITLE + HEADER - 14)
        top = MARGIN + TITLE + HEADER + row * (CAPTION + LARGE + GUTTER * 2)
        colour = colours[facet_set[position].index]
        panel.draw(sheet, draw, left, top, facet_set, position, exemplars[position], colour)
    return sheet


class _Panel:
    """One facet's part of the sheet; all have the same size."""

    def __init__(self, columns: int, rendered: bool):
        self.start = START if rendered else LARGE
        self.visualization_at = START + BETWEEN if rendered else None
        self.exemplars_at = (START + BETWEEN + LARGE if rendered else LARGE) + 2 * GUTTER
        self.across = max(1, math.ceil(columns / 2))
        self.columns = columns
        self.width = self.exemplars_at + self.across * (SMALL + GUTTER) - GUTTER

    def header(self, draw: ImageDraw.ImageDraw, left: int, baseline: int) -> None:
        """Name the panel's columns."""
        places = [(0, "mean image"), (self.exemplars_at, "nearest images")]
        if self.visualization_at is not None:
            places.append((self.visualization_at, "visualization"))
        for offset, name in places:
            draw_text(draw, left + offset, baseline, name, 13, QUIET)

    def draw(
        self,
        sheet: Image.Image,
        draw: ImageDraw.ImageDraw,
        left: int,
        top: int,
        facet_set: FacetSet,
        position: int,
        exemplars: Tensor,
        colour: str,
    ) -> None:
        """Paint one facet with its upper left corner at (left, top)."""
        draw.rectangle((left, top + 7, left + 11, top + 18), fill=colour)
        caption = fit(wording.caption(facet_set[position]), 16, self.width - 20)
        draw_text(draw, left + 20, top + 19, caption, 16, INK)
        top += CAPTION
        middle = top + LARGE // 2
        start = square(facet_set.mean_images[position], self.start)
        sheet.paste(start, (left, middle - self.start // 2))
        if self.visualization_at is not None and facet_set.images is not None:
            draw_arrow(draw, left + START + 8, middle, BETWEEN - 16, QUIET)
            sheet.paste(square(facet_set.images[position], LARGE), (left + self.visualization_at, top))
        for place, exemplar in enumerate(exemplars[: self.columns]):
            row, column = divmod(place, self.across)
            x = left + self.exemplars_at + column * (SMALL + GUTTER)
            sheet.paste(square(exemplar, SMALL), (x, top + row * (SMALL + GUTTER)))


def _facets(count: int) -> str:
    return "1 facet" if count == 1 else f"{count} facets"
