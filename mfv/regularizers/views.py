"""Each image seen through a window of its own, all of a batch at once and without a word to the host."""

import torch
from torch import Tensor
from torch.nn import functional as F


def sampled(pixels: Tensor, rows: Tensor, columns: Tensor, mode: str = "bilinear") -> Tensor:
    """Return the images (n, 3, h', w') read at rows (n, h') and columns (n, w'), differentiably.

    Args:
        pixels: (n, 3, h, w).
        rows: in pixels, 0 the middle of the first; beyond the border the image is reflected.
        columns: likewise.
        mode: "bilinear", or "nearest" for whole numbers within the image, which then are read exactly.

    """
    height, width = pixels.shape[-2:]
    vertical = (2 * rows + 1) / height - 1
    horizontal = (2 * columns + 1) / width - 1
    shape = (len(pixels), rows.shape[1], columns.shape[1])
    grid = torch.stack([horizontal[:, None, :].expand(shape), vertical[:, :, None].expand(shape)], -1)
    return F.grid_sample(pixels, grid.to(pixels), mode=mode, padding_mode="reflection", align_corners=False)


def window(start: Tensor, length: Tensor, count: int) -> Tensor:
    """Return `count` evenly spaced places (n, count), in pixels, of windows that begin at `start` (n,).

    The window covers `length` (n,) pixels; a start of 0 is the first pixel's outer edge.
    """
    inner = (torch.arange(count, device=start.device) + 0.5) / count
    return start[:, None] + inner * length[:, None] - 0.5
