"""Reading images in a data loader's workers without letting a bad file stop the run."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from mfv.data.decoded_ahead import DecodedAhead
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.errors import MfvError, UnreadableImage
from mfv.threads import in_threads

SHOWN = 5  # bad images that an error lists

Made = TypeVar("Made")


class BadImage(NamedTuple):
    """An image that could not be read.

    Attributes:
        number: its index in the source.
        path: its file, or its id where it has none.
        reason: what was wrong with it.

    """

    number: int
    path: str
    reason: str


class Batch(NamedTuple):
    """Several images of a source.

    Attributes:
        indices: (b,) int64, the readable images' numbers in the source.
        pixels: (b, 3, S, S) uint8, channels last; b is 0 where no image is readable.
        bad: the images that could not be read.

    """

    indices: Tensor
    pixels: Tensor
    bad: list[BadImage]


class Images(Dataset[tuple[int, Tensor] | BadImage]):
    """The images of a source, prepared for the network.

    An item is the image's number and its pixels (3, S, S) uint8, or a `BadImage`. A 255th of the bytes is
    exactly what `preprocess` gives of what the source loads for it, at a quarter of the size.

    Of several at once, in the main process, each is decoded by one of as many threads as there are processors, where
    the source allows that: decoders let other threads run. In a loader's worker processes one thread decodes.

    Args:
        source: the images.
        preprocess: how they are prepared.
        ahead: those that are decoded already, of the same source and so prepared.

    """

    def __init__(self, source: ImageSource, preprocess: Preprocess, ahead: DecodedAhead | None = None):
        self.source = source
        self.preprocess = preprocess
        self.ahead = ahead if ahead and (ahead.source, ahead.preprocess) == (source, preprocess) else None

    def __getitem__(self, index: int) -> tuple[int, Tensor] | BadImage:
        try:
            return index, self.square(index)
        except UnreadableImage as error:
            return BadImage(index, error.path, error.reason)

    def __len__(self) -> int:
        return len(self.source)

    def square(self, index: int) -> Tensor:
        """Return an image's pixels (3, S, S) uint8; `UnreadableImage` where that is not possible."""
        there = self.ahead.pixels(index) if self.ahead else None
        return self.preprocess.loaded(self.source, index) if there is None else there

    def squares(self, indices: Iterable[int]) -> list[Tensor]:
        """Return several images' pixels."""
        return self._each(self.square, indices)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return several images, of which some may be unreadable."""
        side = self.preprocess.size
        pixels = np.empty((len(indices), side, side, 3), np.uint8)

        def fill(place: int) -> BadImage | None:
            try:
                pixels[place] = self.square(indices[place]).permute(1, 2, 0).numpy()
            except UnreadableImage as error:
                return BadImage(indices[place], error.path, error.reason)
            return None

        problems = self._each(fill, range(len(indices)))
        good = [place for place, problem in enumerate(problems) if problem is None]
        return Batch(
            torch.tensor([indices[place] for place in good], dtype=torch.int64),
            torch.from_numpy(pixels if len(good) == len(indices) else pixels[good]).permute(0, 3, 1, 2),
            [problem for problem in problems if problem],
        )

    def _each(self, function: Callable[[int], Made], numbers: Iterable[int]) -> list[Made]:
        if get_worker_info() is not None or not self.source.concurrent:
            return [function(number) for number in numbers]
        return in_threads(function, numbers)


class Batches(Dataset[Batch]):
    """The images of a source in given batches: an item is a whole batch.

    Args:
        images: prepared for the network.
        rows: of each batch, the images' numbers.

    """

    def __init__(self, images: Images, rows: Sequence[Sequence[int]]):
        self.images, self.rows = images, rows

    def __getitem__(self, number: int) -> Batch:
        return self.images.batch(self.rows[number])

    def __len__(self) -> int:
        return len(self.rows)


def read(source: ImageSource, rows: Iterable[int], make: Callable[[Image.Image], Made]) -> list[Made]:
    """Return what is made of each picture, read by a thread per processor where the source allows that."""

    def one(row: int) -> Made:
        return make(source.load(row))

    return in_threads(one, rows) if source.concurrent else [one(row) for row in rows]


def check_bad_share(bad: Iterable[BadImage], total: int, max_share: float) -> None:
    """Raise `MfvError` where more than `max_share` of `total` images, or all of them, are unreadable."""
    bad = list(bad)
    if not bad or (len(bad) <= max_share * total and len(bad) < total):
        return
    lines = [f"  {image.path}: {image.reason}" for image in bad[:SHOWN]]
    if len(bad) > SHOWN:
        lines.append(f"  … and {len(bad) - SHOWN} more")
    if len(bad) >= total:
        head, remedy = f"none of the {total} images can be read:", "Give other images (data.root=…)."
    else:
        share = min(1.0, -(-1000 * len(bad) // total) / 1000)  # rounded up
        head = f"{len(bad)} of {total} images cannot be read, more than data.max_bad_share={max_share:g} allows:"
        remedy = f"Repair or remove them, or go on without them: data.max_bad_share={share:g}"
    raise MfvError("\n".join([head, *lines, remedy]))
