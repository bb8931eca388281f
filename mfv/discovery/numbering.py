"""Clusters in an order of their own."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfv.discovery.kmeans import KMeansResult
from mfv.structures import Clustering


def clustering(
    found: KMeansResult, points: np.ndarray, embedding: np.ndarray, details: Mapping[str, Any]
) -> Clustering:
    """Return the clusters numbered by size, the largest first, ties by their first image.

    Args:
        found: k-means' result on `points`.
        points: (n, d) where the clusters were found.
        embedding: (n, 2) the map for the eye.
        details: for facets.json.

    """
    sizes = np.bincount(found.assignment)
    firsts = np.array([np.flatnonzero(found.assignment == cluster)[0] for cluster in range(len(sizes))])
    order = np.lexsort((firsts, -sizes))
    number = np.empty(len(sizes), dtype=np.int64)
    number[order] = np.arange(len(sizes))
    distances = np.linalg.norm(points - found.centers[found.assignment], axis=1)
    return Clustering(number[found.assignment], distances, np.asarray(embedding, dtype=np.float32), dict(details))
