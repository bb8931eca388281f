"""ImageNet (ILSVRC 2012) as it lies on a disk: training and validation photos, labelled by synset."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mfv.data.files import FileImages, find_images
from mfv.errors import MfvError
from mfv.paths import existing_folder

SPLITS = ("train", "val")
KAGGLE = "ILSVRC/Data/CLS-LOC"  # where the Kaggle download keeps train and val
SOLUTION = "LOC_val_solution.csv"  # its list of the validation photos' classes
_SYNSET = re.compile(r"n\d{8}")


class ImageNetImages(FileImages):
    """The photos of ImageNet's training or validation set.

    Args:
        root: the folder that holds `train` and `val`, or the root of the Kaggle download.
        split: "train": sub-folders named by synset. "val": likewise, or all photos in one folder with
            Kaggle's `LOC_val_solution.csv` in it or in a folder above.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with.

    Raises:
        MfvError: the photos, or their classes, are not found; the message says what is expected where.

    """

    def __init__(self, root: str | Path, split: str = "train", max_bad_share: float = 0.01):
        if split not in SPLITS:
            raise MfvError(f"data.split is {split!r}; it is one of {', '.join(SPLITS)}")
        folder = existing_folder(root, "ImageNet, which holds train and val")
        below = next((path for path in (split, f"{KAGGLE}/{split}") if (folder / path).is_dir()), None)
        if below is None:
            raise MfvError(
                f"data.root={folder} has neither {split}/ nor {KAGGLE}/{split}/; give the folder that holds "
                f"train/ and val/, or use data=folder for a folder of synset folders"
            )
        ids = find_images(folder, below=below)
        if not ids:
            raise MfvError(f"no images in {folder / below}; give ImageNet's folder: data.root=/path/to/it")
        super().__init__("imagenet", folder, ids, _synsets(folder, below, ids), max_bad_share=max_bad_share)


def _synsets(root: Path, below: str, ids: Sequence[str]) -> list[str]:
    parents = [PurePosixPath(id).parent for id in ids]
    flat = [parent == PurePosixPath(below) for parent in parents]
    if all(flat) and below.endswith("val"):
        return _solution(root, below, ids)
    for id, parent, loose in zip(ids, parents, flat, strict=True):
        if loose or not _SYNSET.fullmatch(parent.name):
            raise MfvError(
                f"{root / id} does not lie in a folder named by its synset (like n01440764); sort the images "
                f"of {root / below} into such folders, or use data=folder"
            )
    return [parent.name for parent in parents]


def _solution(root: Path, below: str, ids: Sequence[str]) -> list[str]:
    folder = root / below
    places = [folder, *folder.resolve().parents[: len(PurePosixPath(below).parts) + 3]]
    table = next((place / SOLUTION for place in places if (place / SOLUTION).is_file()), None)
    if table is None:
        raise MfvError(
            f"the validation images in {folder} lie in one folder, which does not tell their classes: put "
            f"Kaggle's {SOLUTION} into {root}, or sort the images into folders named by synset"
        )
    try:
        with table.open(newline="", encoding="utf-8") as file:
            synsets = {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(file)}
    except (KeyError, AttributeError, IndexError, UnicodeDecodeError):
        raise MfvError(f"{table} is not Kaggle's list: it has the columns ImageId,PredictionString") from None
    unnamed = [id for id in ids if PurePosixPath(id).stem not in synsets]
    if unnamed:
        raise MfvError(f"{table} has no class for {len(unnamed)} of the {len(ids)} images, the first is {unnamed[0]}")
    return [synsets[PurePosixPath(id).stem] for id in ids]
