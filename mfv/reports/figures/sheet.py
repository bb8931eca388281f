"""A sheet that figures are drawn on, measured in centimetres from its upper left corner."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mfv.errors import MfvError
from mfv.replacing import replacing
from mfv.reports import wording
from mfv.reports.images import as_pil
from mfv.reports.palette import contrast, facet_colours
from mfv.structures import Facet

try:
    from matplotlib import font_manager, rc_context
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from matplotlib.patches import Circle, Rectangle
    from matplotlib.textpath import text_to_path
except ImportError as error:
    raise MfvError('figures need matplotlib, which is not installed: pip install "mfv[figures]"') from error

__all__ = ["Figure", "Sheet", "colours_of", "fit", "save", "text_width", "wrapped"]

CM = 1 / 2.54  # inches
POINT = 2.54 / 72  # centimetres
FONTS = ("Arial", "Liberation Sans", "DejaVu Sans")  # the first that is installed; matplotlib brings the last
INK, QUIET, PAPER = "#16181d", "#5c6370", "#ffffff"
SIZE, SMALL = 7.0, 6.0  # points
LINE = 0.8  # points, of frames
SQUARE = 0.2  # centimetres a side of a facet's mark beside its name
DPI = 300  # of the PNG
FIXED: dict[str, dict[str, str | None]] = {  # what else would make each file another
    "pdf": {"CreationDate": None, "Producer": None, "Creator": "mfv"},
    "png": {"Software": "mfv"},
}


class Sheet:
    """A sheet of white paper.

    Args:
        width: in centimetres, as are all lengths.
        height: likewise.

    Attributes:
        figure: what is drawn, to be shown in a notebook or written by `save`.

    """

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width * CM, height * CM), facecolor=PAPER)
        FigureCanvasAgg(self.figure)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)
        self.axes.set_autoscale_on(False)

    def picture(
        self,
        x: float,
        y: float,
        side: float,
        pixels: Tensor | Image.Image,
        frame: str | None = None,
        line: float = LINE,
    ) -> None:
        """Place a square picture, as a tensor (3, h, h) in [0, 1], with its upper left corner at (x, y).

        It is framed in a colour where one is given, by a line so many points wide.
        """
        upwards = np.asarray(as_pil(pixels))[::-1]  # as the PDF writes from below, it then holds the picture upright
        self.axes.imshow(
            upwards, origin="lower", extent=(x, x + side, y + side, y), aspect="auto", interpolation="none", zorder=2
        )
        if frame is not None:
            self.rectangle(x, y, side, side, edge=frame, line=line)

    def text(
        self,
        x: float,
        baseline: float,
        words: str,
        size: float = SIZE,
        colour: str = INK,
        across: str = "left",
        bold: bool = False,
    ) -> None:
        """Write one line from `x` (to it, or around it, by `across`) on a baseline; `size` is in points."""
        line = self.axes.text(
            x, baseline, words, fontsize=size, color=colour, ha=across, va="baseline", fontfamily=font(),
            fontweight="bold" if bold else "normal", parse_math=False, zorder=5,
        )  # fmt: skip
        if hasattr(line, "set_fontfeatures"):  # from matplotlib 3.11 on: names of layers are found letter by letter
            line.set_fontfeatures(("-liga",))

    def rectangle(
        self,
        x: float,
        y: float,
        width: float,
        height: float,
        fill: str | None = None,
        edge: str | None = None,
        line: float = LINE,
    ) -> None:
        """Draw a rectangle, filled, or as an outline so many points wide."""
        patch = Rectangle(
            (x, y), width, height, facecolor=fill or "none", edgecolor=edge or "none", linewidth=line, zorder=3
        )
        self.axes.add_patch(patch)

    def dot(self, x: float, y: float, radius: float, colour: str) -> None:
        """Draw a disc."""
        self.axes.add_patch(Circle((x, y), radius, facecolor=colour, edgecolor="none", zorder=1))

    def chip(self, x: float, y: float, side: float, words: str, colour: str, size: float = SMALL) -> None:
        """Draw a filled rectangle as high as `side`, as wide as its words, which stand in it in black or white."""
        width = max(side, text_width(words, size, bold=True) + 0.1)
        self.rectangle(x, y, width, side, fill=colour)
        ink = max((PAPER, INK), key=lambda other: contrast(colour, other))
        self.text(x + width / 2, y + side / 2 + cap_height(size) / 2, words, size, ink, "center", bold=True)

    def facet(self, x: float, baseline: float, facet: Facet, colour: str, width: float) -> None:
        """Write a facet's number, its size and what its images are called, behind a square of its colour."""
        self.rectangle(x, baseline - SQUARE + 0.02, SQUARE, SQUARE, fill=colour)
        x, width = x + SQUARE + 0.08, width - SQUARE - 0.08
        name = f"{facet.index}"
        self.text(x, baseline, name, bold=True)
        x, width = (start := text_width(name, SIZE, bold=True) + 0.1) + x, width - start
        size = wording.images(facet.size)
        self.text(x, baseline, size)
        if facet.labels:
            x, width = (start := text_width(size, SIZE) + 0.12) + x, width - start
            names = ", ".join(label for label, _ in facet.labels)
            self.text(x, baseline, fit(f"({names})", SMALL, width), SMALL, QUIET)


def colours_of(facets: Sequence[Facet]) -> list[str]:
    """Return each facet's colour, the same as on all other pages."""
    colours = facet_colours(max((facet.index for facet in facets), default=-1) + 1)
    return [colours[facet.index] for facet in facets]


@cache
def font() -> str:
    """Return the family that text is set in."""
    known = set(font_manager.get_font_names())
    return next(name for name in FONTS if name in known)


def text_width(words: str, size: float = SIZE, bold: bool = False) -> float:
    """Return how wide a line of text is, in centimetres."""
    return _extent(words, size, bold)[0]


def cap_height(size: float) -> float:
    """Return how high a digit of the font is, in centimetres."""
    return _extent("0", size, False)[1]


@cache
def _extent(words: str, size: float, bold: bool) -> tuple[float, float]:
    properties = font_manager.FontProperties(family=font(), size=size, weight="bold" if bold else "normal")
    width, height, descent = text_to_path.get_text_width_height_descent(words, properties, ismath=False)
    return width * POINT, (height - descent) * POINT


def fit(words: str, size: float, width: float, bold: bool = False) -> str:
    """Return a text, shortened with an ellipsis where it is wider than `width`; "" where nothing of it fits."""
    if text_width(words, size, bold) <= width:
        return words
    while words and text_width(words.rstrip() + "…", size, bold) > width:
        words = words[:-1]
    return words.rstrip() + "…" if words else ""


def wrapped(words: str, size: float, width: float, lines: int = 3) -> list[str]:
    """Return a text as up to `lines` lines of at most `width`, broken at spaces; the last is shortened."""
    rows: list[str] = []
    for word in words.split():
        longer = f"{rows[-1]} {word}" if rows else word
        if rows and (len(rows) == lines or text_width(longer, size) <= width):
            rows[-1] = longer
        else:
            rows.append(word)
    return [fit(row, size, width) for row in rows]


def save(figure: Figure, stem: str | Path, dpi: float = DPI) -> list[Path]:
    """Write a figure as `stem`.png and `stem`.pdf, and return both paths; folders are made.

    In the PDF text is text (TrueType) and every picture has its own pixels; in the PNG, pictures are resampled to
    `dpi`, small ones without blur.
    """
    stem = Path(stem)
    stem.parent.mkdir(parents=True, exist_ok=True)
    paths = []
    for kind, interpolation in (("png", "auto"), ("pdf", "none")):
        for image in figure.findobj(AxesImage):
            assert isinstance(image, AxesImage)
            image.set_interpolation(interpolation)
        path = stem.with_name(f"{stem.name}.{kind}")
        with replacing(path) as part, rc_context({"pdf.fonttype": 42, "image.composite_image": False}):
            figure.savefig(part, format=kind, dpi=dpi, metadata=FIXED[kind])
        paths.append(path)
    return paths
