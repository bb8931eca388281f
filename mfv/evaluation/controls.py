"""Images that show what a number is worth: what it is without the facets, and without any picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

MEAN, DEVIATION = 175.0, 8.0  # grey levels: the paper's noise start


def shuffled_means(
    photographs: Tensor, sizes: Sequence[int], counts: Sequence[int], seed: int, shuffles: int = 3
) -> Tensor:
    """Return the mean images of clusters with shuffled members, (shuffles · k, 3, H, W) in [0, 1].

    They have the colours and the blur of mean images, and nothing of a facet.

    Args:
        photographs: (n, 3, H, W) uint8, the unit's.
        sizes: (k,) members of each cluster, n together.
        counts: (k,) how many of a cluster's members make up its mean image.
        seed: fixes the shuffles.
        shuffles: how many.

    """
    means = []
    for number in range(shuffles):
        order = np.random.default_rng([seed % 2**32, number]).permutation(len(photographs))
        first = 0
        for size, count in zip(sizes, counts, strict=True):
            means.append(photographs[order[first : first + min(size, count)]].float().mean(0) / 255)
            first += size
    return torch.stack(means)


def noise(count: int, size: int, seed: int) -> Tensor:
    """Return images of noise, as the paper starts without a mean image: normal around light grey, clipped.

    They are (count, 3, size, size) in [0, 1].
    """
    values = np.random.default_rng(seed % 2**32).normal(MEAN / 255, DEVIATION / 255, (count, 3, size, size))
    return torch.from_numpy(values.astype(np.float32)).clamp_(0, 1)
