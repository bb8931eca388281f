"""Image files below a folder: finding them, and reading them by their number."""

import hashlib
import logging
import os
from collections.abc import Collection, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from PIL import Image

from mfv.data.decoding import decode
from mfv.data.source import ImageSource
from mfv.errors import MfvError

RESULTS = "facets.json"  # lies in every folder into which mfv puts pictures
EXTENSIONS = ("avif", "bmp", "gif", "jfif", "jp2", "jpeg", "jpg", "pgm", "png", "ppm", "tif", "tiff", "webp")

logger = logging.getLogger("mfv")


class FileImages(ImageSource):
    """Image files by their path below a root."""

    concurrent = True

    def __init__(
        self,
        name: str,
        root: Path,
        ids: Sequence[str],
        labels: Sequence[str | None],
        *,
        max_bad_share: float = 0.01,
    ):
        super().__init__(name, ids, labels, root=root, max_bad_share=max_bad_share)
        self._folder = root

    @cached_property
    def fingerprint(self) -> str:
        """A hash of every file's path below the root, its size and the time it was last changed."""
        return hash_files(self._folder, self.ids)

    def load(self, index: int) -> Image.Image:
        """Decode an image file; `UnreadableImage` names the file and the reason."""
        return decode(self._folder / self.ids[index])

    def load_for(self, index: int, side: int) -> Image.Image:
        """Decode an image file; a JPEG of four times the side and more at a part of its size (`decode`)."""
        own = type(self).load is not FileImages.load  # does something else to its pictures
        return self.load(index) if own else decode(self._folder / self.ids[index], side)


def hash_files(root: Path, ids: Sequence[str]) -> str:
    """Return a hash of the files' paths below the root, their sizes and the times of their last change."""
    digest = hashlib.sha256()
    for id in ids:
        try:
            status = os.stat(root / id)
            state = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # removed since it was listed: an unreadable image
            state = "missing"
        digest.update(f"{id}\0{state}\n".encode())
    return digest.hexdigest()


def find_images(root: Path, extensions: Collection[str] = EXTENSIONS, below: str = "") -> list[str]:
    """Return the paths of all image files under `root`/`below`, relative to `root`, sorted.

    Hidden files and folders are left out, and so are folders below that hold mfv's own results, whose pictures are no
    photographs. Links are followed, except those that lead back to a folder they lie in. Upper and lower case in
    extensions are the same, the dot before them is optional.
    """
    endings = tuple("." + extension.lower().lstrip(".") for extension in extensions)
    results: list[Path] = []
    paths = sorted(_walk(root / below, below, endings, (), results))
    if results:
        logger.info("%s: folders of mfv's own results are left out (%d, as %s)", root, len(results), min(results))
    for path in paths:
        if not path.isascii():
            _check_text(path, root)
    return paths


def _walk(
    folder: Path, prefix: str, endings: tuple[str, ...], above: tuple[tuple[int, int], ...], results: list[Path]
) -> Iterator[str]:
    """Give the images' paths; folders of results below the first are put into `results` and not looked into."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise MfvError(f"cannot list the folder {folder}: {error.strerror}") from error
    if above and any(entry.name == RESULTS for entry in entries):
        results.append(folder)
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        if _is_folder(entry):
            yield from _walk(folder / entry.name, path, endings, (*above, identity), results)
        elif entry.name.lower().endswith(endings):
            yield path


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _check_text(path: str, root: Path) -> None:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise MfvError(f"the file name {path!r} below {root} is not valid UTF-8: rename the file") from None
