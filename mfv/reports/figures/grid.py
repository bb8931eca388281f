"""A grid of pictures: a row for each facet, a column for each way it was painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from mfv.errors import MfvError
from mfv.reports import wording
from mfv.reports.figures.sheet import QUIET, SIZE, SMALL, Figure, Sheet, colours_of, fit, wrapped
from mfv.structures import Facet

GUTTER, GROUP = 0.08, 0.3  # centimetres: between pictures, and where a group of columns begins
LEAD = 1.35  # the facets' numbers and sizes, on the left
LINE = 0.28  # the height of a line of text
CHIP = 0.34
SMALLEST = 0.8  # a picture's side below which a figure is not drawn


@dataclass(frozen=True)
class Column:
    """A column of the grid.

    Attributes:
        title: above it; long ones are broken into lines.
        images: (k, 3, h, w) in [0, 1], one per facet; all may have other sizes than those of other columns.
        note: below the title, smaller.
        notes: per facet, below its picture.
        begins: whether a group begins here: it stands apart from the column before.

    """

    title: str
    images: Tensor
    note: str = ""
    notes: Sequence[str] = field(default=())
    begins: bool = False


def grid_figure(facets: Sequence[Facet], columns: Sequence[Column], width: float = 17.5, notes_are: str = "") -> Figure:
    """Draw facets (rows) by columns, all pictures of one size; `notes_are` says what the columns' notes are.

    Raises:
        ValueError: a column has not as many images as there are facets.
        MfvError: the figure is too narrow for its columns.

    """
    for column in columns:
        if len(column.images) != len(facets):
            raise ValueError(f"{len(facets)} facets, but column {column.title!r} has {len(column.images)} images")
    side = picture_side(columns, width)
    if side < SMALLEST:
        raise MfvError(f"{len(columns)} columns do not fit into {width:g} cm: take a wider figure, or fewer columns")
    lefts = _lefts(columns, side)
    titles = [wrapped(column.title, SIZE, side) for column in columns]
    title_lines = max(map(len, titles))
    note_lines = int(any(column.note for column in columns))
    top = title_lines * LINE + note_lines * LINE + 0.08
    below = LINE if any(column.notes for column in columns) else 0.0
    between = GUTTER + below / 2
    row = side + below + between
    sheet = Sheet(width, top + len(facets) * row - between)
    for column, left, lines in zip(columns, lefts, titles, strict=True):
        for number, line in enumerate(lines):
            baseline = (title_lines - len(lines) + number + 1) * LINE - 0.04
            sheet.text(left + side / 2, baseline, line, across="center")
        if column.note:
            note = fit(column.note, SMALL, side + GUTTER)
            sheet.text(left + side / 2, top - 0.12, note, SMALL, QUIET, "center")
    for place, (facet, colour) in enumerate(zip(facets, colours_of(facets), strict=True)):
        y = top + place * row
        sheet.chip(0, y, CHIP, str(facet.index), colour, SIZE)
        sheet.text(0, y + CHIP + 0.26, wording.images(facet.size), SMALL, QUIET)
        if notes_are:
            sheet.text(0, y + side + 0.22, notes_are, SMALL, QUIET)
        for column, left in zip(columns, lefts, strict=True):
            sheet.picture(left, y, side, column.images[place])
            if column.notes:
                words = fit(column.notes[place], SMALL, side)
                sheet.text(left + side / 2, y + side + 0.22, words, SMALL, QUIET, "center")
    return sheet.figure


def picture_side(columns: Sequence[Column], width: float) -> float:
    """Return how large the pictures of these columns are in a figure of this width, in centimetres."""
    groups = sum(column.begins for column in columns[1:])
    return (width - LEAD - (len(columns) - 1) * GUTTER - groups * (GROUP - GUTTER)) / len(columns)


def _lefts(columns: Sequence[Column], side: float) -> list[float]:
    lefts = [LEAD]
    for column in columns[1:]:
        lefts.append(lefts[-1] + side + (GROUP if column.begins else GUTTER))
    return lefts
