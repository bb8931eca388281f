"""From a photograph to the square of pixels that a network takes."""

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from mfv.data.decoding import REDUCED
from mfv.data.source import ImageSource
from mfv.errors import MfvError

LONGEST = 16  # times as long as wide


def to_tensor(image: Image.Image, size: int, resize: int) -> Tensor:
    """Return the centre of an RGB picture as (3, size, size) float32 in [0, 1]: `square_bytes` over 255."""
    return square_bytes(image, size, resize).contiguous().float().div_(255)


def square_bytes(image: Image.Image, size: int, resize: int) -> Tensor:
    """Return the centre of an RGB picture as (3, size, size) uint8, channels last.

    The short side is scaled to `resize` pixels (up or down; bilinear with antialiasing) and the centre square of `size`
    pixels is cut out, as torchvision's Resize and CenterCrop (`transforms.v2`) do with tensors of bytes, exactly where
    the CPU has AVX2: what Pillow gives, but for 1 or 2 of 255 here and there, of usual photographs in less than half
    the time. Of pictures more than 16 times as long as wide, the ends are cut off first, to save memory.
    """
    _check(size, resize)
    image = _without_ends(image)
    width, height = image.size
    short = min(width, height)
    scaled = resize * height // short, resize * width // short
    pixels = torch.from_numpy(np.array(image)).unsqueeze(0).permute(0, 3, 1, 2)
    if scaled != (height, width):
        pixels = functional.interpolate(pixels, size=scaled, mode="bilinear", antialias=True)
    top, left = (round((length - size) / 2) for length in scaled)
    square = pixels[0, :, top : top + size, left : left + size].permute(1, 2, 0)
    return square.contiguous().permute(2, 0, 1)  # of its own: what is not shown is not kept


def crop_resized(pixels: Tensor, box: tuple[int, int, int, int], size: int) -> Tensor:
    """Return the part of `pixels` (3, H, W) within a box (top, left, height, width) as (3, size, size).

    The box keeps its place where it reaches beyond the picture: what is outside repeats the picture's
    edge. Bilinear with antialiasing; the range [0, 1] is kept.
    """
    top, left, height, width = box
    picture_height, picture_width = pixels.shape[-2:]
    outside = top >= picture_height or left >= picture_width or top + height <= 0 or left + width <= 0
    if height < 1 or width < 1 or outside:
        raise MfvError(
            f"box {box} (top, left, height, width) holds nothing of a picture "
            f"{picture_height} pixels high and {picture_width} wide"
        )
    rows = torch.arange(top, top + height, device=pixels.device).clamp_(0, picture_height - 1)
    columns = torch.arange(left, left + width, device=pixels.device).clamp_(0, picture_width - 1)
    part = pixels[:, rows][:, :, columns]
    if (height, width) == (size, size):
        return part
    scaled = functional.interpolate(part[None], size=(size, size), mode="bilinear", antialias=True)
    return scaled[0].clamp_(0, 1)


@dataclass(frozen=True)
class Preprocess:
    """Turns an RGB picture into (3, size, size) float32 in [0, 1] by `to_tensor`.

    Attributes:
        size: pixels of the square, high and wide.
        resize: pixels of the short side before the centre is cut out.

    """

    size: int
    resize: int

    def __post_init__(self) -> None:
        _check(self.size, self.resize)

    def __call__(self, image: Image.Image) -> Tensor:
        """Return the picture's centre square."""
        return to_tensor(image, self.size, self.resize)

    def bytes(self, image: Image.Image) -> Tensor:
        """Return the same as (3, size, size) uint8, of which the other is a 255th."""
        return square_bytes(image, self.size, self.resize)

    def loaded(self, source: ImageSource, index: int) -> Tensor:
        """Return an image of a source as `bytes` does; the source may decode it smaller (`ImageSource.load_for`)."""
        return self.bytes(source.load_for(index, self.resize))

    @property
    def description(self) -> str:
        """What was done to the pictures, in words that stay the same for the same settings."""
        return (
            f"RGB, short side {self.resize} (bilinear, antialiased, as bytes; JPEGs decoded to {REDUCED} times that or "
            f"more), centre {self.size}"
        )


def _without_ends(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = LONGEST * min(width, height)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, width - left, height - top)) if left or top else image


def _check(size: int, resize: int) -> None:
    if size < 1 or resize < size:
        raise MfvError(
            f"the short side is scaled to {resize} pixels, but the centre to be cut out is {size}: "
            f"give resize ≥ size ≥ 1"
        )
