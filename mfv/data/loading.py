"""Reading images in a data loader's workers without letting a bad file stop the run."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

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
    """What `collate` makes of several images.

    Attributes:
        indices: (b,) int64, the readable images' numbers in the source.
        pixels: (b, 3, S, S) uint8, channels last; (0, 3, 0, 0) where no image is readable.
        bad: the images that could not be read.

    """

    indices: Tensor
    pixels: Tensor
    bad: list[BadImage]


class Images(Dataset[tuple[int, Tensor] | BadImage]):
    """The images of a source, prepared for the network.

    An item is the image's number and its pixels (3, S, S) uint8, or a `BadImage`. A 255th of the bytes is
    exactly what `preprocess` gives, at a quarter of the size.

    A data loader asks for the items of a batch together. In the main process they are then decoded by
    threads, as many as there are processors, where the source allows that: decoders let other threads run.
    In a loader's worker processes one thread decodes.

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

    def __getitems__(self, indices: Sequence[int]) -> list[tuple[int, Tensor] | BadImage]:
        if get_worker_info() is not None or not self.source.concurrent:
            return [self[index] for index in indices]
        return in_threads(self.__getitem__, indices)

    def __len__(self) -> int:
        return len(self.source)

    def square(self, index: int) -> Tensor:
        """Return an image's pixels (3, S, S) uint8; `UnreadableImage` where that is not possible."""
        there = self.ahead.pixels(index) if self.ahead else None
        return self.preprocess.bytes(self.source.load(index)) if there is None else there

    def squares(self, indices: Iterable[int]) -> list[Tensor]:
        """Return several images' pixels, read by a thread per processor where the source allows that."""
        return in_threads(self.square, indices) if self.source.concurrent else [self.square(one) for one in indices]


class Batches(Dataset[Batch]):
    """The images of a source in given batches: an item is a whole batch.

    Args:
        images: prepared for the network.
        rows: of each batch, the images' numbers.

    """

    def __init__(self, images: Images, rows: Sequence[Sequence[int]]):
        self.images, self.rows = images, rows

    def __getitem__(self, number: int) -> Batch:
        return collate(self.images.__getitems__(self.rows[number]))

    def __len__(self) -> int:
        return len(self.rows)


def read(source: ImageSource, rows: Iterable[int], make: Callable[[Image.Image], Made]) -> list[Made]:
    """Return what is made of each picture, read by a thread per processor where the source allows that."""

    def one(row: int) -> Made:
        return make(source.load(row))

    return in_threads(one, rows) if source.concurrent else [one(row) for row in rows]


def collate(items: Sequence[tuple[int, Tensor] | BadImage]) -> Batch:
    """Put the readable images of a batch together and list the others; a data loader's `collate_fn`."""
    bad = [item for item in items if isinstance(item, BadImage)]
    good = [item for item in items if not isinstance(item, BadImage)]
    indices = torch.tensor([index for index, _ in good], dtype=torch.int64)
    empty = torch.empty(0, 3, 0, 0, dtype=torch.uint8)
    pixels = torch.stack([pixels.permute(1, 2, 0) for _, pixels in good]).permute(0, 3, 1, 2) if good else empty
    return Batch(indices, pixels, bad)


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
