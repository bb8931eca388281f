"""From a k-means partition to a `Clustering` whose numbers mean something."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mfv.discovery.order import by_size
from mfv.discovery.partition import KMeansResult
from mfv.structures import Clustering


def numbered_by_size(
    found: KMeansResult, points: np.ndarray, embedding: np.ndarray, details: Mapping[str, Any]
) -> Clustering:
    """Return the clustering with the largest cluster as 0; among equals the one with the first image leads.

    Args:
        found: the partition of `points`.
        points: (n, d) where the clusters were found: distances are measured there.
        embedding: (n, 2) the map to show.
        details: what to record besides the partition's own figures; JSON-ready.

    """
    offsets = points.astype(np.float64) - found.centers[found.assignment]
    return Clustering(
        assignment=by_size(found.assignment),
        distances=np.sqrt((offsets**2).sum(axis=1)).astype(np.float32),
        embedding=np.ascontiguousarray(embedding, dtype=np.float32),
        details={**details, "inertia": round(found.inertia, 6), "device": found.device},
    )
