"""From clusters to facets: members, exemplars, mean images."""

import numpy as np
from torch import Tensor

from mfv.structures import Clustering


def facet_members(clustering: Clustering) -> list[np.ndarray]:
    """Return each facet's images (m,), the nearest to the centre first."""
    members = []
    for facet in range(int(clustering.assignment.max()) + 1):
        own = np.flatnonzero(clustering.assignment == facet)
        members.append(own[np.argsort(clustering.distances[own], kind="stable")])
    return members


def exemplars(members: np.ndarray, count: int = 15) -> np.ndarray:
    """Return the images nearest to the centre, at most `count` (the paper: 15)."""
    return members[:count]


def mean_image(images: Tensor) -> Tensor:
    """Return the plain mean (3, H, W) of images (m, 3, H, W)."""
    return images.mean(0)
