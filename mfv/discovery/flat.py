"""k-means on the codes themselves, or on their principal components."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfv.discovery.checks import check_codes
from mfv.discovery.kmeans import kmeans
from mfv.discovery.numbering import clustering
from mfv.discovery.pca import principal_components
from mfv.discovery.tsne import tsne_map
from mfv.structures import Clustering

MAPPABLE = 10_000  # codes: beyond, the map shows the first two principal components


@dataclass(frozen=True)
class KMeans:
    """Cluster the codes where they are; the map is only to look at.

    Attributes:
        tries: starts; the best is kept.

    """

    tries: int = 10

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Return the clusters of codes (n, d)."""
        check_codes(codes, facets)
        found = kmeans(codes, facets, seed, self.tries)
        details = {"method": "kmeans", "inertia": found.inertia, "faiss": found.device}
        return clustering(found, codes, _map(codes, seed), details)


@dataclass(frozen=True)
class PCAKMeans:
    """Cluster the codes' principal components; the map is only to look at.

    Attributes:
        components: how many.
        tries: starts; the best is kept.

    """

    components: int = 50
    tries: int = 10

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Return the clusters of codes (n, d)."""
        check_codes(codes, facets)
        points = principal_components(codes, self.components)
        found = kmeans(points, facets, seed, self.tries)
        details = {
            "method": "pca_kmeans",
            "components": points.shape[1],
            "inertia": found.inertia,
            "faiss": found.device,
        }
        return clustering(found, points, _map(codes, seed), details)


def _map(codes: np.ndarray, seed: int) -> np.ndarray:
    components = principal_components(codes, 50)
    if len(codes) > MAPPABLE:
        return components[:, :2]
    return tsne_map(components, seed)
