"""How images look, without any network: total variation, contrast, saturation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mfv.evaluation.framing import frames

SIZE = 224  # pixels: the scale at which images are compared, as total variation depends on it
BATCH = 32


@dataclass(frozen=True)
class Statistics:
    """Means over images; all in [0, 1].

    Attributes:
        tv: mean absolute difference of vertical neighbours, plus that of horizontal ones.
        contrast: standard deviation of an image's grey values (root mean square contrast).
        saturation: mean over pixels of (largest − smallest channel) / largest channel.

    """

    tv: float
    contrast: float
    saturation: float

    def relative_to(self, natural: Statistics) -> dict[str, float]:
        """Return each number over that of photographs: 1 is natural. Numbers that photographs lack are left out."""
        pairs = {name: (value, getattr(natural, name)) for name, value in vars(self).items()}
        return {f"{name}_ratio": value / other for name, (value, other) in pairs.items() if other > 0}


def statistics(images: Tensor) -> Statistics:
    """Return the statistics of images (n, 3, H, W), uint8 or floats in [0, 1], at 224 pixels a side."""
    rows = []
    for batch in frames(images, SIZE).split(BATCH):
        pixels = batch.float() / 255
        vertical = (pixels[:, :, 1:] - pixels[:, :, :-1]).abs().mean((1, 2, 3))
        horizontal = (pixels[..., 1:] - pixels[..., :-1]).abs().mean((1, 2, 3))
        contrast = pixels.mean(1).flatten(1).std(1)
        largest = pixels.amax(1)
        saturation = ((largest - pixels.amin(1)) / largest.clamp_min(1e-3)).mean((1, 2))
        rows.append(torch.stack([vertical + horizontal, contrast, saturation], 1))
    return Statistics(*torch.cat(rows).double().mean(0).tolist())
