"""What a notebook holds, as a source: lists, tensors, arrays, torch datasets."""

import hashlib
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import IterableDataset, Subset
from torchvision.datasets.folder import DatasetFolder, default_loader

from mfv.data.decoding import decode, strictly, to_rgb
from mfv.data.files import hash_files
from mfv.data.folder import FolderImages, class_name, labels_from_paths
from mfv.data.pixels import picture
from mfv.data.source import ImageSource
from mfv.errors import MfvError, UnreadableImage
from mfv.paths import existing_folder

TRIED = 4  # images that are read twice: half of a random flip's stay as they are
HASHED = 5000  # images up to which the fingerprint reads them all
ACCEPTED = "PIL pictures, tensors or arrays (floats in [0, 1] or bytes), or paths, each alone or as (image, label)"

logger = logging.getLogger("mfv")


class InMemoryImages(ImageSource):
    """A sequence or map-style torch dataset of pictures.

    An item is a PIL picture, a tensor or array (see `mfv.data.pixels.picture`), a path, or a tuple that
    begins with one of these and a label. A list of paths, or a dataset that keeps its files as `samples` or
    `imgs` (torchvision's ImageFolder), also inside `Subset`s, has the paths as ids; the list's files, and
    those of an ImageFolder without a transform, are read by `decode`. Labels come from the dataset's
    `classes`, or from the tuples of a list, else from the paths; numbers without class names count as
    unknown.

    Args:
        images: anything with a length that gives these by number.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with.

    Raises:
        MfvError: there is no image, or the first is of a kind that cannot be read.

    """

    def __init__(self, images: Any, max_bad_share: float = 0.01):
        _check_container(images)
        self._images = images
        self._root, self._paths = _files(images)
        count = len(images)
        ids = self._paths or [f"{index:06d}" for index in range(count)]
        super().__init__("memory", ids, _labels(images, self._paths), root=self._root, max_bad_share=max_bad_share)
        self._decodes = bool(self._paths) and _gives_plain_files(images)
        with suppress(UnreadableImage):
            self.load(0)  # a mistake that all images share shows here, not in a worker
        if not self._decodes:
            self._check_steady()

    @cached_property
    def fingerprint(self) -> str | None:
        """A hash of the files' states, or of all pixels of up to 5,000 images; None for more."""
        if self._decodes and self._root:
            return hash_files(self._root, self.ids)
        if len(self) > HASHED:
            return None
        digest = hashlib.sha256()
        for index, id in enumerate(self.ids):
            digest.update(f"{id} ".encode())
            try:
                image = self.load(index)
                digest.update(f"{image.size} ".encode() + image.tobytes())
            except UnreadableImage as error:
                digest.update(error.reason.encode())
        return digest.hexdigest()

    def load(self, index: int) -> Image.Image:
        """Return an image as RGB, 8 bits."""
        return self._load(index)

    def load_for(self, index: int, side: int) -> Image.Image:
        """Return an image as RGB, 8 bits; of paths as `FileImages` does."""
        return self._load(index, side) if type(self).load is InMemoryImages.load else self.load(index)

    def _load(self, index: int, side: int | None = None) -> Image.Image:
        if self._decodes and self._root:
            return decode(self._root / self.ids[index], side)
        item = self._item(range(len(self))[index])
        if isinstance(item, tuple | list) and len(item):
            item = item[0]
        if isinstance(item, str | os.PathLike):
            return decode(Path(item).expanduser(), side)
        if isinstance(item, Image.Image):
            return self._converted(item, index)
        if isinstance(item, torch.Tensor | np.ndarray):
            return picture(item, f"image {self.ids[index]}")
        raise MfvError(f"image {self.ids[index]} is a {type(item).__name__}; give {ACCEPTED}")

    def _check_steady(self) -> None:
        """Warn where reading an image again gives another one."""
        for index in range(min(TRIED, len(self))):
            with suppress(UnreadableImage):
                first, second = self.load(index), self.load(index)
                if first.size != second.size or first.tobytes() != second.tobytes():
                    logger.warning(
                        "image %s is another one each time that it is read, as of a dataset with random transforms: "
                        "what is found in it and what is shown are then not the same, and neither stored activations "
                        "nor a directory's results are found again. Give the dataset without them",
                        self.ids[index],
                    )
                    return

    def _item(self, index: int) -> Any:
        try:
            return self._images[index]
        except (OSError, SyntaxError) as error:  # what PIL raises when the dataset reads a bad file
            raise self._unreadable(index, error) from error

    def _converted(self, image: Image.Image, index: int) -> Image.Image:
        try:
            with strictly():  # a picture that was only opened is read here
                return to_rgb(image)
        except (OSError, SyntaxError, ValueError) as error:
            raise self._unreadable(index, error) from error

    def _unreadable(self, index: int, error: Exception) -> UnreadableImage:
        path = (self._root or Path()) / self.ids[index]
        return UnreadableImage(str(path), str(error) or type(error).__name__)


def as_source(images: Any) -> ImageSource:
    """Return a source itself, a folder's path as `FolderImages`, anything else as `InMemoryImages`."""
    if isinstance(images, ImageSource):
        return images
    if isinstance(images, str | os.PathLike):
        return FolderImages(existing_folder(images, "your images", "images"))
    return InMemoryImages(images)


def _check_container(images: Any) -> None:
    kind = type(images).__name__
    single = isinstance(images, torch.Tensor | np.ndarray) and images.ndim != 4
    if single or isinstance(images, Image.Image | str | bytes | dict):
        shape = f" of shape {tuple(images.shape)}" if single else ""
        raise MfvError(f"images is a {kind}{shape}; give several: a list, a dataset, or one tensor (n, 3, H, W)")
    if isinstance(images, IterableDataset) or not (hasattr(images, "__len__") and hasattr(images, "__getitem__")):
        raise MfvError(f"images is a {kind}, which cannot be read by number; give list(images) or a map-style dataset")
    if len(images) == 0:
        raise MfvError(f"images is an empty {kind}; give at least one image")


def _files(images: Any) -> tuple[Path | None, list[str] | None]:
    """Return the root and the relative paths of a dataset's or list's files, (None, None) without files."""
    samples = _unwrapped(images, "samples") or _unwrapped(images, "imgs")
    paths = [sample[0] if isinstance(sample, tuple | list) else sample for sample in samples or []]
    if not samples and isinstance(images, list | tuple):
        paths = [item[0] if isinstance(item, tuple) and item else item for item in images]
    if len(paths) != len(images) or not all(isinstance(path, str | os.PathLike) for path in paths):
        return None, None
    absolute = [os.path.abspath(os.path.expanduser(path)) for path in paths]
    if len(set(absolute)) < len(absolute):
        return None, None
    given = getattr(_base(images), "root", None)
    root = os.path.abspath(os.path.expanduser(given)) if isinstance(given, str | os.PathLike) else ""
    if not root or not all(path.startswith(root + os.sep) for path in absolute):
        root = os.path.commonpath([os.path.dirname(path) for path in absolute])
    return Path(root), [Path(os.path.relpath(path, root)).as_posix() for path in absolute]


def _labels(images: Any, paths: list[str] | None) -> list[str | None]:
    classes = getattr(_base(images), "classes", None)
    numbers = _unwrapped(images, "targets")
    if numbers is None and isinstance(images, list | tuple):
        numbers = [item[1] if isinstance(item, tuple) and len(item) > 1 else None for item in images]
    if numbers is not None and len(numbers) == len(images):
        labels = [_label(number, classes) for number in numbers]
        if any(labels):
            return labels
    if paths:
        return labels_from_paths(Path("/"), paths)
    return [None] * len(images)


def _label(value: Any, classes: Sequence[Any] | None) -> str | None:
    if isinstance(value, str):
        return class_name(value)
    try:
        number = int(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    if classes is None or not 0 <= number < len(classes):
        return None
    name = classes[number]
    return class_name(name[0] if isinstance(name, tuple | list) and name else name)


def _base(images: Any) -> Any:
    while isinstance(images, Subset):
        images = images.dataset
    return images


def _unwrapped(images: Any, attribute: str) -> list[Any] | None:
    """Return a dataset's list of this name, in the order that the `Subset`s around it give it."""
    if isinstance(images, Subset):
        whole = _unwrapped(images.dataset, attribute)
        return None if whole is None else [whole[index] for index in images.indices]
    values = getattr(images, attribute, None)
    return list(values) if values is not None and hasattr(values, "__len__") else None


def _gives_plain_files(images: Any) -> bool:
    """Say whether nothing but reading a file stands between a path and its picture."""
    base = _base(images)
    if isinstance(base, DatasetFolder):
        return base.transforms is None and base.loader is default_loader
    return isinstance(base, list | tuple)
