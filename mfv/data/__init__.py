"""Image sources: the bundled photographs, folders, Imagenette, ImageNet, made-up ones, a notebook's own."""

from mfv.data.decode import decode as decode
from mfv.data.decode import to_rgb as to_rgb
from mfv.data.folder import FolderImages as FolderImages
from mfv.data.imagenet import ImageNetImages as ImageNetImages
from mfv.data.imagenette import ImagenetteImages as ImagenetteImages
from mfv.data.loading import BadImage as BadImage
from mfv.data.loading import Batch as Batch
from mfv.data.loading import Images as Images
from mfv.data.loading import check_bad_share as check_bad_share
from mfv.data.loading import collate as collate
from mfv.data.memory import InMemoryImages as InMemoryImages
from mfv.data.memory import as_source as as_source
from mfv.data.photos import PhotoCrops as PhotoCrops
from mfv.data.source import ImageSource as ImageSource
from mfv.data.synthetic import SyntheticImages as SyntheticImages
from mfv.data.transforms import Preprocess as Preprocess
from mfv.data.transforms import crop_resized as crop_resized
from mfv.data.transforms import to_tensor as to_tensor
