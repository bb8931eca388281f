"""Images of any size as a second network takes them: scaled to its input's short side, centre cut out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from PIL import Image
from torch import Tensor

LONGEST = 16  # times as long as wide; the ends beyond are cut off before scaling, to save memory


def frames(images: Tensor | Iterable[Image.Image], size: int) -> Tensor:
    """Return images as (n, 3, size, size) uint8.

    The short side is scaled to `size` pixels (bicubic, antialiased) and the centre is cut out. Bytes go in,
    as from a PNG: what is judged is what a viewer of the files sees.

    Args:
        images: (n, 3, H, W), uint8 or floats in [0, 1]; or RGB pictures, each of its own size.
        size: of the side, in pixels.

    """
    if isinstance(images, Tensor):
        pixels = images if images.dtype == torch.uint8 else (images.float().clamp(0, 1) * 255).round().byte()
        if pixels.shape[-2:] == (size, size):
            return pixels.cpu()
        images = (Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()) for image in pixels.cpu())
    framed = [torch.from_numpy(np.array(frame(image, size))).permute(2, 0, 1) for image in images]
    return torch.stack(framed) if framed else torch.empty(0, 3, size, size, dtype=torch.uint8)


def frame(image: Image.Image, size: int) -> Image.Image:
    """Return one RGB picture's centre square, `size` pixels a side."""
    width, height = image.size
    longest = LONGEST * min(width, height)
    if max(width, height) > longest:
        left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
        image = image.crop((left, top, width - left, height - top))
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return scaled.crop((left, top, left + size, top + size))
