"""The default images: crops of the colour photographs that come with scikit-image and scikit-learn."""

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from mfv.data.decoding import decode
from mfv.data.source import ImageSource
from mfv.errors import MfvError, nearest_names

# Each photograph's package and file. All are part of the installed packages: nothing is downloaded.
PHOTOS = {
    "astronaut": ("skimage", "data/astronaut.png"),
    "cat": ("skimage", "data/chelsea.png"),
    "china": ("sklearn", "datasets/images/china.jpg"),
    "coffee": ("skimage", "data/coffee.png"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "galaxies": ("skimage", "data/hubble_deep_field.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "motorcycle_right": ("skimage", "data/motorcycle_right.png"),  # the same, seen from further right
    "retina": ("skimage", "data/retina.jpg"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "tissue": ("skimage", "data/ihc.png"),
}


SMALLEST = 96  # pixels of a crop's side


class Crop(NamedTuple):
    """A square of a photograph."""

    photo: str  # its name in PHOTOS
    side: int  # pixels
    top: int  # pixels from the photograph's upper edge
    left: int  # pixels from its left edge

    @property
    def id(self) -> str:
        """The crop's id, for example "coffee/0160px_y0240_x0080"."""
        return f"{self.photo}/{self.side:04d}px_y{self.top:04d}_x{self.left:04d}"


class PhotoCrops(ImageSource):
    """Square crops of the bundled photographs, at several scales, evenly spread over each.

    Args:
        scales: the crops' sides, as shares (above 0, up to 1) of the photograph's short side. Crops of
            less than 96 pixels would be mostly blur and are left out.
        step: the distance between neighbouring crops, as a share of their side; smaller means more crops.
        photos: which photographs to use (`PHOTOS` lists them); by default all.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with.

    Raises:
        MfvError: a setting is out of range, or a photograph is unknown or not installed.

    """

    concurrent = True

    def __init__(
        self,
        scales: Sequence[float] = (1.0, 0.8, 0.65, 0.5, 0.4, 0.32),
        step: float = 0.45,
        photos: Sequence[str] | None = None,
        max_bad_share: float = 0.01,
    ):
        scales = tuple(float(scale) for scale in scales)
        if not scales or min(scales) <= 0 or max(scales) > 1:
            raise MfvError(f"data.scales is {list(scales)}; each is a share of the photograph, above 0 and up to 1")
        if step <= 0:
            raise MfvError(f"data.step is {step}; it is a share of the crop's side, above 0")
        names = tuple(photos) if photos is not None else tuple(PHOTOS)
        self._files = {name: _photo_file(name) for name in names}
        self._crops = sorted(
            {crop for name, file in self._files.items() for crop in _crops(name, _size(file), scales, step)}
        )
        if not self._crops:
            raise MfvError(
                f"data.scales={list(scales)} of data.photos={list(names)} gives no crop of 96 pixels or more"
            )
        ids = [crop.id for crop in self._crops]
        super().__init__("photos", ids, [None] * len(ids), max_bad_share=max_bad_share)

    @property
    def fingerprint(self) -> str:
        """A hash of the crops and of the photographs' file sizes."""
        sizes = {name: file.stat().st_size for name, file in self._files.items()}
        return hashlib.sha256(json.dumps([sizes, self.ids]).encode()).hexdigest()

    def load(self, index: int) -> Image.Image:
        """Cut a crop out of its photograph, which each process decodes once."""
        photo, side, top, left = self._crops[index]
        return _decoded(self._files[photo]).crop((left, top, left + side, top + side))


def _crops(photo: str, size: tuple[int, int], scales: Sequence[float], step: float) -> list[Crop]:
    width, height = size
    sides = [round(scale * min(size)) for scale in scales]
    return [
        Crop(photo, side, top, left)
        for side in sides
        if side >= SMALLEST
        for top in _positions(height, side, step)
        for left in _positions(width, side, step)
    ]


def _positions(length: int, side: int, step: float) -> list[int]:
    """Spread crops from edge to edge, about `step` of their side apart; a single one in the middle."""
    room = length - side
    gaps = round(room / (step * side))
    return [round(room * position / gaps) for position in range(gaps + 1)] if gaps else [room // 2]


def _photo_file(name: str) -> Path:
    if name not in PHOTOS:
        near = nearest_names(name, PHOTOS) or list(PHOTOS)
        raise MfvError(f"data.photos: there is no photograph {name!r}; did you mean {', '.join(near)}?")
    package, file = PHOTOS[name]
    spec = find_spec(package)  # finds the folder without importing the package
    if spec is None or spec.origin is None:
        raise MfvError(f"the photograph {name!r} comes with the package {package}, which is not installed")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise MfvError(f"the installed {package} lacks the photograph {path}; leave {name!r} out of data.photos")
    return path


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file) as image:
        return image.size


@cache
def _decoded(file: Path) -> Image.Image:
    return decode(file)
