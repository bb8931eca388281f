"""A folder of images, flat or with sub-folders, and the labels that its names give away."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mfv.data.files import EXTENSIONS, FileImages, find_images
from mfv.errors import MfvError
from mfv.paths import existing_folder

LABELS = ("auto", "folder", "none")
_SYNSET = re.compile(r"n\d{8}(?![0-9A-Za-z])")  # starts "n02085620-Chihuahua" and "n03032252_103857.jpg"


class FolderImages(FileImages):
    """All image files of a folder and its sub-folders, sorted by path.

    Args:
        root: the folder. Hidden files and folders, and folders of mfv's own results, are left out, links are followed.
        labels: "auto": a synset id in the name of a folder the image lies in (the nearest) or at the
            start of its file name; else, where all images lie in sub-folders, the name of the sub-folder,
            unless it is only digits; else None. "folder": the name of the folder the image lies in.
            "none": no labels.
        extensions: which files are images, one or several; by default those of the usual formats.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with.

    Raises:
        MfvError: the folder is missing or holds no images.

    """

    def __init__(
        self,
        root: str | Path,
        labels: str = "auto",
        extensions: Sequence[str] | str | None = None,
        max_bad_share: float = 0.01,
    ):
        if labels not in LABELS:
            raise MfvError(f"data.labels is {labels!r}; it is one of {', '.join(LABELS)}")
        folder = existing_folder(root, "your images")
        given = [extensions] if isinstance(extensions, str) else extensions
        extensions = tuple(given) if given is not None else EXTENSIONS
        ids = find_images(folder, extensions)
        if not ids:
            raise MfvError(
                f"no images in data.root={folder} (looked for {', '.join(extensions)}, also in sub-folders but for "
                "those of mfv's own results); "
                f"give the folder of your images: data.root=/path/to/it"
            )
        super().__init__("folder", folder, ids, labels_from_paths(folder, ids, labels), max_bad_share=max_bad_share)


def labels_from_paths(root: Path, ids: Sequence[str], rule: str = "auto") -> list[str | None]:
    """Return the label that each image's path below the root gives away (`FolderImages` states the rules)."""
    root_name = root.resolve().name
    paths = [PurePosixPath(id) for id in ids]
    if rule == "none":
        return [None] * len(paths)
    if rule == "folder":
        return [path.parent.name or root_name for path in paths]
    in_folders = all(len(path.parts) > 1 for path in paths)
    return [_synset(path, root_name) or (class_name(path.parent.name) if in_folders else None) for path in paths]


def class_name(name: object) -> str | None:
    """Return a class's synset id if its name starts with one, else the name, None for a mere number."""
    text = str(name).strip()
    if match := _SYNSET.match(text):
        return match.group()
    return None if not text or text.isdigit() else text


def _synset(path: PurePosixPath, root_name: str) -> str | None:
    for folder in path.parts[-2::-1]:
        if match := _SYNSET.match(folder):
            return match.group()
    match = _SYNSET.match(path.name) or _SYNSET.match(root_name)
    return match.group() if match else None
