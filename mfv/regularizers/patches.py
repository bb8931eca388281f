"""Patches of natural images, and which of them is nearest to each patch of a new image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


class PatchDatabase:
    """Patches of the images of each facet.

    The nearest is looked for among the patches' leading principal components: exactly that of the
    pixels where there are as many components as pixels.

    Args:
        images: (n, 3, H, W) in [0, 1].
        groups: one tensor of rows into `images` per facet.
        size: a patch's side, in pixels; at most the images'.
        count: patches per facet.
        components: principal components.

    """

    def __init__(self, images: Tensor, groups: list[Tensor], size: int, count: int, components: int):
        self.size = size
        self.patches = torch.stack([_drawn(images[rows], size, count, seed) for seed, rows in enumerate(groups)])
        flat = self.patches.flatten(0, 1)
        self.origin = flat.mean(0)
        covariance = torch.cov((flat - self.origin).double().T)
        self.axes = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :components].to(flat)
        self.keys = (self.patches - self.origin) @ self.axes
        self.offsets = self.keys.square().sum(2) / 2

    def to(self, device: torch.device) -> None:
        """Move the patches to a device, where they are not there yet."""
        if self.patches.device != device:
            for name in ("patches", "origin", "axes", "keys", "offsets"):
                setattr(self, name, getattr(self, name).to(device))

    def nearest(self, patches: Tensor, facet: Tensor) -> Tensor:
        """Return the nearest patch of a facet (1,) for each of some patches (m, 3·size²)."""
        # Not by an index in brackets, for which the host would wait.
        offsets, keys, known = (of.index_select(0, facet)[0] for of in (self.offsets, self.keys, self.patches))
        queries = (patches - self.origin) @ self.axes
        # ‖q − k‖²/2 less ‖q‖²/2, which is the same for all
        distances = offsets - queries @ keys.T
        return known[distances.argmin(1)]

    def explained(self, image: Tensor, facet: Tensor, stride: int) -> tuple[Tensor, Tensor]:
        """Return an image (1, 3, h, w) put together from a facet's (1,) patches, and where (1, 1, h, w) there are any.

        Each of its patches, `stride` pixels apart, is replaced by the nearest; where they overlap, by their mean.
        """
        shape = image.shape[-2:]
        patches = F.unfold(image, self.size, stride=stride)[0].T
        replaced = self.nearest(patches, facet).T[None]
        total = F.fold(replaced, shape, self.size, stride=stride)
        overlap = F.fold(torch.ones_like(replaced[:, : self.size**2]), shape, self.size, stride=stride)
        return total / overlap.clamp_min(1), overlap > 0


def _drawn(images: Tensor, size: int, count: int, seed: int) -> Tensor:
    """Return `count` patches (count, 3·size²) from anywhere in the images, always the same."""
    generator = torch.Generator("cpu").manual_seed(seed)
    height, width = images.shape[-2:]
    ends = (len(images), height - size + 1, width - size + 1)
    image, top, left = (torch.randint(end, (count, 1, 1), generator=generator, device="cpu") for end in ends)
    places = torch.arange(size, device="cpu")
    found = images.cpu().permute(0, 2, 3, 1)[image, top + places[:, None], left + places]
    return found.permute(0, 3, 1, 2).flatten(1)
