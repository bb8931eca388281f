"""k-means on the codes themselves or on their principal components, with a 2-D map for the eye."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from mfv.discovery.checks import prepared, to_unit_length
from mfv.discovery.clusters import numbered_by_size
from mfv.discovery.embedding import check_map, display_map
from mfv.discovery.partition import kmeans
from mfv.discovery.pca import principal_components
from mfv.errors import check_count
from mfv.structures import Clustering

SEEN_BY_MAP = 50  # principal components of raw codes that the map is made of


@dataclass(frozen=True)
class PCAKMeans:
    """k-means on the codes' principal components.

    Attributes:
        components: how many (the paper's t-SNE sees 50).
        tries: k-means++ starts, of which the best is kept.
        map: how the images are arranged for the eye, "tsne" (up to 10,000) or "pca"; the clusters do not
            depend on it.
        unit_length: whether each code is divided by its length first, so that only its direction counts.
        device: of k-means: auto, cpu or gpu.
        spherical: whether the clusters' centres have unit length too: nearness is then the cosine.

    """

    components: int = 50
    tries: int = 10
    map: str = "tsne"
    unit_length: bool = True
    device: str = "auto"
    spherical: bool = False

    def __post_init__(self) -> None:
        check_map(self.map)
        check_count("discovery.components", self.components, 1, "principal components")
        check_count("discovery.tries", self.tries, 1, "k-means++ starts")

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Find `facets` clusters among the codes (n, d); `MfvError` where that cannot be."""
        points = principal_components(prepared(codes, facets, self.unit_length), self.components)
        details = {"method": "pca_kmeans", "components": points.shape[1], "unit_length": self.unit_length}
        return _clustered(self, points, points, facets, seed, details)


@dataclass(frozen=True)
class KMeans:
    """k-means on the codes as they are.

    Attributes:
        tries: k-means++ starts, of which the best is kept.
        map: how the images are arranged for the eye, "tsne" (up to 10,000) or "pca"; the clusters do not
            depend on it.
        unit_length: whether each code is divided by its length first, so that only its direction counts.
        device: of k-means: auto, cpu or gpu.
        spherical: whether the clusters' centres have unit length too: nearness is then the cosine.

    """

    tries: int = 10
    map: str = "tsne"
    unit_length: bool = True
    device: str = "auto"
    spherical: bool = False

    def __post_init__(self) -> None:
        check_map(self.map)
        check_count("discovery.tries", self.tries, 1, "k-means++ starts")

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Find `facets` clusters among the codes (n, d); `MfvError` where that cannot be."""
        points = prepared(codes, facets, self.unit_length)
        details = {"method": "kmeans", "unit_length": self.unit_length}
        return _clustered(self, points, principal_components(points, SEEN_BY_MAP), facets, seed, details)


def _clustered(
    method: PCAKMeans | KMeans,
    points: np.ndarray,
    seen_by_map: np.ndarray,
    facets: int,
    seed: int,
    details: dict[str, Any],
) -> Clustering:
    if method.spherical:  # among directions the nearest are those with the largest cosine
        points = points.copy()
        to_unit_length(points)
    found = kmeans(points, facets, seed, method.tries, device=method.device, spherical=method.spherical)
    plane = display_map(seen_by_map, method.map, seed)
    details |= {"seed": seed, "map": plane.method, "perplexity": plane.perplexity, "tries": method.tries}
    details |= {"spherical": True} if method.spherical else {}
    return numbered_by_size(found, points, plane.coordinates, details)
