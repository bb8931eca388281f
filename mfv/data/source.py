"""What every set of images offers: ids, labels, a fingerprint, and each picture by its number."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from mfv.errors import MfvError, nearest_names

NAMES_TO_COMPARE = 5000  # beyond, looking for similar names takes too long


class ImageSource(ABC):
    """A numbered set of images. It can be pickled, so a data loader's workers can use it.

    It is what PyTorch calls a map-style dataset, without PyTorch: wrong settings are answered before that is loaded.

    Args:
        name: what results call it, for example "folder".
        ids: one per image, relative to the root, with forward slashes, each different.
        labels: per image its synset id ("n03032252") or class name, None where that is unknown.
        root: the folder that the ids start from; None where the images are not files.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with.

    """

    concurrent = False  # whether several threads, and a copy of the process beside it, may load images at once

    def __init__(
        self,
        name: str,
        ids: Sequence[str],
        labels: Sequence[str | None],
        *,
        root: Path | None = None,
        max_bad_share: float = 0.01,
    ):
        if not 0 <= max_bad_share <= 1:
            raise MfvError(f"data.max_bad_share is {max_bad_share}; it is a share from 0 to 1")
        if len(ids) != len(labels):
            raise MfvError(f"{len(ids)} image ids, but {len(labels)} labels: give one label (or None) per image")
        self.name = name
        self.ids = tuple(ids)
        self.labels = tuple(labels)
        self.root = root
        self.max_bad_share = max_bad_share

    @property
    @abstractmethod
    def fingerprint(self) -> str | None:
        """A hash that changes when the images do; None where it cannot be had cheaply (never store by it)."""

    @abstractmethod
    def load(self, index: int) -> Image.Image:
        """Return an image as RGB, 8 bits, fully decoded; `UnreadableImage` where that is not possible."""

    def load_for(self, index: int, side: int) -> Image.Image:
        """Return an image whose short side is going to be scaled to `side` pixels.

        As `load` does; or, where that is sooner, smaller already, its short side still at least twice as long.
        """
        return self.load(index)

    def index_of(self, id: str) -> int:
        """Return the number of the image with this id; an unknown id gets the nearest known ones."""
        try:
            return self._positions[id]
        except KeyError:
            near = nearest_names(id, self.ids[:NAMES_TO_COMPARE])
            hint = f": did you mean {', '.join(near)}?" if near else ""
            raise MfvError(f"no image {id!r} among the {len(self)} of {self.name}{hint}") from None

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {id: index for index, id in enumerate(self.ids)}

    def __getitem__(self, index: int) -> Image.Image:
        return self.load(index)

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        root = f", root={str(self.root)!r}" if self.root else ""
        return f"{type(self).__name__}({len(self)} images{root})"
