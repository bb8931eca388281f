"""Pictures inside a page: data URIs and one sprite, each within a budget of bytes."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image
from torch import Tensor

from mfv.reports.images import data_uri, square, thumbnail_data_uri
from mfv.threads import in_threads

Picture = Tensor | Image.Image
Rung = tuple[int, int]  # pixels a side, quality (1–100)
Encoded = TypeVar("Encoded")
LEAST = 0.08  # bytes that a pixel of a photograph takes at least: rungs beyond the budget by this are not tried


@dataclass(frozen=True)
class Sprite:
    """All thumbnails in one picture, row by row."""

    uri: str
    tile: int  # pixels a side of each thumbnail
    columns: int
    rows: int


def embed(pictures: Sequence[Picture], budget: int, ladder: Sequence[Rung]) -> list[str]:
    """Return the pictures as data URIs at the first rung within `budget` bytes, or else the last."""

    def encode(size: int, quality: int) -> list[str]:
        return in_threads(lambda picture: thumbnail_data_uri(picture, size, quality), pictures)

    return _first_within(encode, lambda uris: sum(map(len, uris)), budget, ladder, len(pictures))


def sprite(pictures: Sequence[Picture], budget: int, ladder: Sequence[Rung]) -> Sprite | None:
    """Return the pictures' central squares as one sprite of at most `budget` bytes; None without pictures.

    The last rung is taken where none is small enough.
    """
    if not pictures:
        return None
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = math.ceil(len(pictures) / columns)
    largest = in_threads(lambda picture: square(picture, ladder[0][0]), pictures)

    def encode(tile: int, quality: int) -> Sprite:
        canvas = Image.new("RGB", (columns * tile, rows * tile))
        for place, image in enumerate(largest):
            row, column = divmod(place, columns)
            canvas.paste(square(image, tile), (column * tile, row * tile))
        return Sprite(data_uri(canvas, quality), tile, columns, rows)

    return _first_within(encode, lambda made: len(made.uri), budget, ladder, len(pictures))


def _first_within(
    encode: Callable[[int, int], Encoded],
    length: Callable[[Encoded], int],
    budget: int,
    ladder: Sequence[Rung],
    count: int,
) -> Encoded:
    *higher, last = ladder
    for size, quality in higher:
        if count * size**2 * LEAST > budget:
            continue
        encoded = encode(size, quality)
        if length(encoded) <= budget:
            return encoded
    return encode(*last)
