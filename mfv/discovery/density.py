"""Dense places of a t-SNE map as facets, as many as there are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfv.discovery.checks import prepared
from mfv.discovery.clusters import numbered_by_size
from mfv.discovery.embedding import check_tsne, tsne_map
from mfv.discovery.partition import KMeansResult
from mfv.discovery.pca import principal_components
from mfv.errors import MfvError, check_count
from mfv.structures import Clustering


@dataclass(frozen=True)
class HDBSCANMap:
    """PCA, t-SNE, then HDBSCAN (Campello et al. 2013) in the map: at most as many facets as are asked for.

    The largest dense places become the facets; images elsewhere go to the one whose mean is nearest in the map.

    Attributes:
        components: principal components that t-SNE sees.
        perplexity: of t-SNE.
        smallest: images that a facet has at least, as a share of all (0–1); never fewer than five.
        unit_length: whether each code is divided by its length first.
        threads: of t-SNE; with one, the same seed gives the same bytes.

    """

    components: int = 50
    perplexity: float = 30.0
    smallest: float = 0.04
    unit_length: bool = True
    threads: int | None = 1

    def __post_init__(self) -> None:
        check_tsne(self.perplexity)
        check_count("discovery.components", self.components, 1, "principal components")
        if not 0 < self.smallest < 1:
            raise MfvError(f"discovery.smallest is {self.smallest}; it is a share of the images, between 0 and 1")

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Find up to `facets` clusters among the codes (n, d); `MfvError` where that cannot be."""
        points = principal_components(prepared(codes, facets, self.unit_length), self.components)
        plane = tsne_map(points, seed, self.perplexity, threads=self.threads)
        labels = self.dense(plane.coordinates)
        places, sizes = np.unique(labels[labels >= 0], return_counts=True)
        kept = places[np.argsort(-sizes, kind="stable")][:facets]
        loose = float(np.isin(labels, kept, invert=True).mean())
        if len(kept) < 2:  # one dense place, or none: one facet
            kept, labels = np.array([0]), np.zeros_like(labels)
        means = np.stack([plane.coordinates[labels == place].mean(0) for place in kept])
        nearest = ((plane.coordinates[:, None] - means) ** 2).sum(2).argmin(1)
        own = np.full(len(labels), -1)
        for number, place in enumerate(kept):
            own[labels == place] = number
        assignment = np.where(own >= 0, own, nearest)
        centers = np.stack([plane.coordinates[assignment == number].mean(0) for number in range(len(kept))])
        inertia = float(((plane.coordinates - centers[assignment]) ** 2).sum())
        details = {
            "method": "hdbscan", "seed": seed, "components": points.shape[1], "map": plane.method,
            "perplexity": plane.perplexity, "loose": round(loose, 3), "unit_length": self.unit_length,
        }  # fmt: skip
        result = KMeansResult(assignment.astype(np.int64), centers.astype(np.float32), inertia, "cpu")
        return numbered_by_size(result, plane.coordinates, plane.coordinates, details)

    def dense(self, coordinates: np.ndarray) -> np.ndarray:
        """Return the dense place of each point (n,), −1 where it is in none."""
        from sklearn.cluster import HDBSCAN

        least = min(len(coordinates), max(5, round(self.smallest * len(coordinates))))
        if len(coordinates) < 2 * least:
            return np.zeros(len(coordinates), dtype=np.int64)
        return HDBSCAN(min_cluster_size=least, min_samples=min(5, least), copy=True).fit_predict(coordinates)
