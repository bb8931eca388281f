"""Imagenette: 10 easy classes of ImageNet, some 13,000 photos; torchvision downloads it."""

from pathlib import Path

from mfv.data.files import FileImages, find_images
from mfv.data.folder import labels_from_paths
from mfv.errors import MfvError

FOLDERS = {"full": "imagenette2", "320px": "imagenette2-320", "160px": "imagenette2-160"}  # in its archives
SPLITS = ("train", "val")


class ImagenetteImages(FileImages):
    """The photos of Imagenette (Howard, github.com/fastai/imagenette), labelled by synset.

    Args:
        root: the folder that holds (or shall hold) `imagenette2`, `imagenette2-320` or `imagenette2-160`.
        split: "train" (9,469 photos) or "val" (3,925).
        size: "full", or the short side of the smaller copies: "320px", "160px".
        download: fetch the archive (1.5 GB, 330 MB or 95 MB) into the root where it is not there yet.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with.

    Raises:
        MfvError: the photos are not there; the message says how to get them.

    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        size: str = "320px",
        download: bool = False,
        max_bad_share: float = 0.01,
    ):
        if split not in SPLITS:
            raise MfvError(f"data.split is {split!r}; it is one of {', '.join(SPLITS)}")
        if size not in FOLDERS:
            raise MfvError(f"data.size is {size!r}; it is one of {', '.join(FOLDERS)}")
        folder = Path(root).expanduser() / FOLDERS[size]
        if download and not folder.exists():
            _download(folder.parent, size)
        if not folder.is_dir():
            raise MfvError(
                f"no Imagenette ({size}) at {folder}; fetch it with data.download=true, or give the folder "
                f"that holds {FOLDERS[size]}: data.root=/path/to/it"
            )
        ids = find_images(folder, below=split) if (folder / split).is_dir() else []
        if not ids:
            raise MfvError(
                f"no images in {folder / split}: the download seems to have broken off; remove {folder} and "
                f"run again with data.download=true"
            )
        super().__init__("imagenette", folder, ids, labels_from_paths(folder, ids), max_bad_share=max_bad_share)


def _download(root: Path, size: str) -> None:
    from torchvision.datasets import Imagenette

    try:
        root.mkdir(parents=True, exist_ok=True)
        Imagenette(str(root), split="train", size=size, download=True)
    except (OSError, RuntimeError) as error:
        raise MfvError(
            f"Imagenette ({size}) could not be downloaded to {root}: {error}. Try again, or unpack "
            f"{FOLDERS[size]}.tgz from github.com/fastai/imagenette there yourself"
        ) from error
