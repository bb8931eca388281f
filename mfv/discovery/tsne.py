"""The paper's discovery: PCA, t-SNE to the plane, k-means there."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
from sklearn.manifold import TSNE

from mfv.discovery.checks import check_codes
from mfv.discovery.kmeans import kmeans
from mfv.discovery.numbering import clustering
from mfv.discovery.pca import principal_components
from mfv.structures import Clustering

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class TSNEKMeans:
    """Cluster the codes in their t-SNE map (Nguyen et al. 2016, Algorithm 1).

    Attributes:
        components: principal components that t-SNE is given.
        perplexity: about how many neighbours a code holds on to; lowered where there are few codes.
        iterations: of t-SNE.
        tries: k-means starts; the best is kept.

    """

    components: int = 50
    perplexity: float = 30.0
    iterations: int = 1000
    tries: int = 10

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Return the clusters of codes (n, d)."""
        check_codes(codes, facets)
        components = principal_components(codes, self.components)
        points = tsne_map(components, seed, self.perplexity, self.iterations)
        found = kmeans(points, facets, seed, self.tries)
        details = {
            "method": "tsne",
            "components": components.shape[1],
            "perplexity": usable_perplexity(len(codes), self.perplexity),
            "iterations": self.iterations,
            "inertia": found.inertia,
            "faiss": found.device,
        }
        return clustering(found, points, points, details)


def tsne_map(points: np.ndarray, seed: int, perplexity: float = 30.0, iterations: int = 1000) -> np.ndarray:
    """Return a 2-D map (n, 2) float32 of points (n, d), from their first two components."""
    if len(points) < 4:
        return np.pad(principal_components(points, 2), ((0, 0), (0, 2)))[:, :2]
    return TSNE(
        2, perplexity=usable_perplexity(len(points), perplexity), max_iter=iterations, init="pca", random_state=seed
    ).fit_transform(points)


def usable_perplexity(count: int, perplexity: float) -> float:
    """Return the perplexity, or a third of the number of codes where that is less."""
    usable = min(perplexity, max(1.0, (count - 1) / 3))
    if usable < perplexity:
        logger.info("perplexity %g is too large for %d codes: %.3g is taken", perplexity, count, usable)
    return usable
