"""From float pixels to PNG files, PIL images and data URIs."""

import base64
import io
from pathlib import Path

import torch
from PIL import Image, features
from torch import Tensor

from mfv.replacing import replacing


def to_pil(pixels: Tensor) -> Image.Image:
    """Return `pixels` (3, H, W), bytes or in [0, 1], as an RGB image of 8 bits; others are clipped, NaN is black."""
    if pixels.ndim != 3 or pixels.shape[0] != 3:
        raise ValueError(f"expected pixels of shape (3, H, W), got {tuple(pixels.shape)}")
    if pixels.dtype != torch.uint8:
        finite = torch.nan_to_num(pixels.detach().to("cpu", torch.float32), nan=0.0)
        pixels = finite.clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    return Image.fromarray(pixels.cpu().permute(1, 2, 0).contiguous().numpy())


def as_pil(picture: Tensor | Image.Image) -> Image.Image:
    """Return an RGB PIL image of either kind of picture."""
    return to_pil(picture) if isinstance(picture, Tensor) else picture.convert("RGB")


def save_png(pixels: Tensor | Image.Image, path: str | Path) -> None:
    """Write a lossless PNG; a kill leaves either the old file or the new one. Parent folders are made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        as_pil(pixels).save(part, format="PNG", compress_level=4)  # two thirds of the time, a percent larger


def square(picture: Tensor | Image.Image, size: int) -> Image.Image:
    """Return the picture's central square, resized (Lanczos) to `size` × `size` pixels."""
    image = as_pil(picture)
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    if image.size == (size, size):
        return image
    return image.resize((size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side))


def shrink(picture: Tensor | Image.Image, size: int) -> Image.Image:
    """Return a copy whose longer side is at most `size` pixels, its proportions kept."""
    image = as_pil(picture).copy()
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    return image


def data_uri(image: Image.Image, quality: int) -> str:
    """Return the image as a `data:` URI: WebP, or JPEG where Pillow lacks WebP. `quality` is 1–100."""
    kind = "webp" if features.check("webp") else "jpeg"
    buffer = io.BytesIO()
    options = {"method": 2} if kind == "webp" else {"optimize": True}
    image.save(buffer, format=kind, quality=quality, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


def thumbnail_data_uri(picture: Tensor | Image.Image, size: int, quality: int = 80) -> str:
    """Return a picture of at most `size` pixels a side as a `data:` URI."""
    return data_uri(shrink(picture, size), quality)
