"""From clusters to facets: their members, their exemplars and their mean image."""

import numpy as np
from torch import Tensor

from mfv.errors import MfvError
from mfv.structures import Clustering


def facet_members(clustering: Clustering) -> list[np.ndarray]:
    """Return for each cluster the numbers of its images (m,) int64, nearest to the centre first.

    Among equally near images the earlier leads.
    """
    order = np.argsort(clustering.distances, kind="stable")
    owners = clustering.assignment[order]
    return [order[owners == cluster] for cluster in range(int(clustering.assignment.max()) + 1)]


def exemplars(members: np.ndarray, count: int = 15) -> np.ndarray:
    """Return the `count` members nearest to their cluster's centre, or all where there are fewer.

    Args:
        members: of one cluster, nearest first, as `facet_members` gives them.
        count: at least 1. The paper's mean images are of 15.

    """
    if count < 1:
        raise MfvError(f"exemplars is {count}; a mean image is of at least 1 image (the paper: 15)")
    return members[:count]


def mean_image(images: Tensor) -> Tensor:
    """Return the plain mean (3, H, W) of images (m, 3, H, W) in [0, 1]: where a facet's rendering starts."""
    if images.ndim != 4 or len(images) == 0:
        raise MfvError(f"a mean image is of images (m, 3, H, W), at least one, not {tuple(images.shape)}")
    return images.float().mean(dim=0)
