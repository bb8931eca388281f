"""The paper's discovery: clusters in a t-SNE map of the codes."""

from dataclasses import dataclass

import numpy as np

from mfv.discovery.checks import prepared
from mfv.discovery.clusters import numbered_by_size
from mfv.discovery.embedding import check_tsne, tsne_map
from mfv.discovery.partition import kmeans
from mfv.discovery.pca import principal_components
from mfv.errors import check_count
from mfv.structures import Clustering


@dataclass(frozen=True)
class TSNEKMeans:
    """PCA, then t-SNE to a 2-D map, then k-means in that map (Nguyen et al. 2016, Algorithm 1).

    Attributes:
        components: principal components that t-SNE sees (the paper: 50).
        perplexity: about how many neighbours count for each image; lowered where images are few.
        iterations: of t-SNE.
        init: how t-SNE starts: "random" (as van der Maaten's program), or "pca", the first two components,
            from which all seeds come to nearly the same map.
        tries: k-means++ starts, of which the best is kept.
        unit_length: whether each code is divided by its length first, so that only its direction counts.
            The paper does not say; it agreed better with people's groups (scripts/discovery.py).
        threads: of t-SNE. With one, the same seed gives the same bytes; null takes all.
        device: of k-means: auto, cpu or gpu.

    """

    components: int = 50
    perplexity: float = 30.0
    iterations: int = 1000
    init: str = "random"
    tries: int = 10
    unit_length: bool = True
    threads: int | None = 1
    device: str = "auto"

    def __post_init__(self) -> None:
        check_tsne(self.perplexity, self.iterations, self.init)
        check_count("discovery.components", self.components, 1, "principal components")
        check_count("discovery.tries", self.tries, 1, "k-means++ starts")

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Find `facets` clusters among the codes (n, d); `MfvError` where that cannot be."""
        points = principal_components(prepared(codes, facets, self.unit_length), self.components)
        plane = tsne_map(points, seed, self.perplexity, self.iterations, self.init, self.threads)
        found = kmeans(plane.coordinates, facets, seed, self.tries, device=self.device)
        details = {
            "method": "tsne",
            "seed": seed,
            "components": points.shape[1],
            "map": plane.method,
            "perplexity": plane.perplexity,
            "divergence": plane.divergence,
            "iterations": self.iterations,
            "init": self.init,
            "tries": self.tries,
            "unit_length": self.unit_length,
        }
        return numbered_by_size(found, plane.coordinates, plane.coordinates, details)
