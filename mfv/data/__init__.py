"""Image sources: the bundled photographs, folders, Imagenette, ImageNet, made-up ones, a notebook's own."""

from typing import TYPE_CHECKING

from mfv.libraries import on_first_use

if TYPE_CHECKING:
    from mfv.data.decoding import decode, to_rgb
    from mfv.data.folder import FolderImages
    from mfv.data.imagenet import ImageNetImages
    from mfv.data.imagenette import ImagenetteImages
    from mfv.data.loading import BadImage, Batch, Images, check_bad_share
    from mfv.data.memory import InMemoryImages, as_source
    from mfv.data.photos import PhotoCrops
    from mfv.data.source import ImageSource
    from mfv.data.synthetic import SyntheticImages
    from mfv.data.transforms import Preprocess, crop_resized, to_tensor

__all__ = [
    "BadImage",
    "Batch",
    "FolderImages",
    "ImageNetImages",
    "ImageSource",
    "ImagenetteImages",
    "Images",
    "InMemoryImages",
    "PhotoCrops",
    "Preprocess",
    "SyntheticImages",
    "as_source",
    "check_bad_share",
    "crop_resized",
    "decode",
    "to_rgb",
    "to_tensor",
]

_HOMES = {
    "BadImage": "mfv.data.loading",
    "Batch": "mfv.data.loading",
    "FolderImages": "mfv.data.folder",
    "ImageNetImages": "mfv.data.imagenet",
    "ImageSource": "mfv.data.source",
    "ImagenetteImages": "mfv.data.imagenette",
    "Images": "mfv.data.loading",
    "InMemoryImages": "mfv.data.memory",
    "PhotoCrops": "mfv.data.photos",
    "Preprocess": "mfv.data.transforms",
    "SyntheticImages": "mfv.data.synthetic",
    "as_source": "mfv.data.memory",
    "check_bad_share": "mfv.data.loading",
    "crop_resized": "mfv.data.transforms",
    "decode": "mfv.data.decoding",
    "to_rgb": "mfv.data.decoding",
    "to_tensor": "mfv.data.transforms",
}

# Sources and what is said of their settings need no PyTorch.
__getattr__ = on_first_use(__name__, _HOMES)
