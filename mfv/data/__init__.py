"""Image sources: the bundled photographs, folders, Imagenette, ImageNet, made-up ones, a notebook's own."""

from mfv.data.decode import decode, to_rgb
from mfv.data.folder import FolderImages
from mfv.data.imagenet import ImageNetImages
from mfv.data.imagenette import ImagenetteImages
from mfv.data.loading import BadImage, Batch, Images, check_bad_share, collate
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
    "collate",
    "crop_resized",
    "decode",
    "to_rgb",
    "to_tensor",
]
