"""Text on images with the font that comes with Pillow."""

import unicodedata
from functools import cache

from PIL import ImageDraw, ImageFont

ARROW = "→"  # drawn as lines: the font has no arrow
BEYOND_ASCII = "·°±©«»´‘’“”…‹›™"  # the other marks that the font has
REPLACEMENTS = str.maketrans({"–": "-", "—": "-", "−": "-", "×": "x", "≥": ">=", "≤": "<=", "\n": " ", "\t": " "})


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own TrueType font, `size` in pixels."""
    loaded = ImageFont.load_default(size)
    if not isinstance(loaded, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow was built without FreeType: install Pillow's own wheel")
    return loaded


def printable(text: str) -> str:
    """Return `text` in the font's letters: accents are dropped, and what is left over becomes "?"."""
    decomposed = unicodedata.normalize("NFKD", text.translate(REPLACEMENTS).replace("…", "\0"))
    kept = "".join(letter for letter in decomposed if not unicodedata.combining(letter)).replace("\0", "…")
    return "".join(
        letter if " " <= letter <= "~" or letter in BEYOND_ASCII or letter == ARROW else "?" for letter in kept
    )


def text_width(text: str, size: int) -> float:
    """Return the width in pixels that `draw_text` takes."""
    pieces = printable(text).split(ARROW)
    return sum(font(size).getlength(piece) for piece in pieces) + (len(pieces) - 1) * size


def fit(text: str, size: int, width: float) -> str:
    """Return `text`, shortened with an ellipsis if it is wider than `width` pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text.rstrip() + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


def draw_text(draw: ImageDraw.ImageDraw, x: float, baseline: float, text: str, size: int, colour: str) -> None:
    """Write one line that starts at `x` on `baseline`."""
    for number, piece in enumerate(printable(text).split(ARROW)):
        if number:
            draw_arrow(draw, x + 0.1 * size, baseline - 0.33 * size, 0.8 * size, colour)
            x += size
        draw.text((x, baseline), piece, font=font(size), fill=colour, anchor="ls")
        x += font(size).getlength(piece)


def draw_arrow(draw: ImageDraw.ImageDraw, x: float, y: float, length: float, colour: str) -> None:
    """Draw a right arrow from (x, y), `length` pixels long."""
    head = max(3.0, 0.3 * length)
    thickness = max(1, round(length / 11))
    tip = x + length
    draw.line([(x, y), (tip, y)], fill=colour, width=thickness)
    for side in (-1, 1):
        draw.line([(tip - head, y + side * head), (tip, y)], fill=colour, width=thickness)
