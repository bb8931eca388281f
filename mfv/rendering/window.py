"""The part of the canvas that the network sees, and the way back."""

import torch
from torch import Tensor


def window_offsets(draws: Tensor, room: tuple[int, int], spread: float | None) -> Tensor:
    """Return where each image's window begins (n, 2), from standard normal draws (n, 2).

    Per axis N(room/2, spread·room), as an integer, within [0, room] (PAPER.md, jitter); without a
    spread the window is in the middle.
    """
    space = torch.tensor(room, dtype=draws.dtype, device=draws.device)
    offsets = space / 2 + draws * (0.0 if spread is None else spread) * space
    return torch.minimum(offsets.clamp_min(0), space).long()


def cut(canvas: Tensor, offsets: Tensor, size: tuple[int, int]) -> Tensor:
    """Return each image's window (n, c, h, w) of its canvas (n, c, H, W)."""
    if canvas.shape[-2:] == size:
        return canvas
    image, rows, columns = _places(canvas, offsets, size)
    return canvas.permute(0, 2, 3, 1)[image, rows, columns].permute(0, 3, 1, 2)


def paste(canvas: Tensor, window: Tensor, offsets: Tensor) -> Tensor:
    """Return the canvas with each image's window put back in its place."""
    size = (window.shape[-2], window.shape[-1])
    if canvas.shape[-2:] == size:
        return window
    image, rows, columns = _places(canvas, offsets, size)
    pasted = canvas.clone().permute(0, 2, 3, 1)
    pasted[image, rows, columns] = window.permute(0, 2, 3, 1)
    return pasted.permute(0, 3, 1, 2).contiguous()


def spread(window: Tensor, canvas: Tensor, offsets: Tensor) -> Tensor:
    """Return each image's window in its place on an empty canvas of the given one's size."""
    if canvas.shape[-2:] == window.shape[-2:]:
        return window
    return paste(torch.zeros_like(canvas), window, offsets)


def _places(canvas: Tensor, offsets: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    image = torch.arange(len(canvas), device=canvas.device)[:, None, None]
    rows = offsets[:, 0, None, None] + torch.arange(size[0], device=canvas.device)[None, :, None]
    columns = offsets[:, 1, None, None] + torch.arange(size[1], device=canvas.device)[None, None, :]
    return image, rows, columns
