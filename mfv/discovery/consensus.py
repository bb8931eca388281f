"""What many t-SNE maps agree on: steadier clusters than any one map's, and how steady each is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mfv.discovery.clusters import numbered_by_size
from mfv.discovery.partition import kmeans
from mfv.discovery.tsne import TSNEKMeans
from mfv.errors import MfvError
from mfv.structures import Clustering

MOST = 5000  # images: the matrix of all pairs takes 100 MB then


@dataclass(frozen=True)
class ConsensusTSNE(TSNEKMeans):
    """Clusters of the images that share a cluster in most of several t-SNE maps (after Strehl & Ghosh 2002).

    t-SNE's map, and k-means in it, hang on the seed: two runs of the paper's method part in a third of the images.
    Here it runs several times with seeds of its own. A row per image says in which share of the maps each other image
    is in its cluster; k-means on these rows gives the facets. On photographs that people had sorted they agree
    better with people than a single map does, and with one another over seeds (docs/discovery.md).

    Its parameters are those of each map (`TSNEKMeans`), and:

    Attributes:
        maps: how many.

    """

    maps: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.maps < 2:
            raise MfvError(f"discovery.maps is {self.maps}; a consensus takes at least 2")

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Find `facets` clusters among the codes (n, d); `MfvError` where that cannot be."""
        if len(codes) > MOST:
            raise MfvError(
                f"discovery=consensus compares all pairs of images, and {len(codes)} are more than {MOST}: "
                f"give fewer (select.count={MOST}), or choose discovery=tsne"
            )
        method = TSNEKMeans(**{each.name: getattr(self, each.name) for each in fields(TSNEKMeans)})
        seeds = np.random.default_rng(seed % 2**32).integers(2**31, size=self.maps)
        found = [method(codes, facets, int(each)) for each in seeds]
        together = shared(np.stack([each.assignment for each in found]))
        clusters = kmeans(together, facets, seed, self.tries, device=self.device)
        # The map to show is the one whose own clusters are most like the consensus.
        likeness = [(shared(each.assignment[None]) * together).sum() for each in found]
        shown = found[int(np.argmax(likeness))]
        kept = {key: value for key, value in shown.details.items() if key not in ("method", "seed", "divergence")}
        clustering = numbered_by_size(
            clusters, together, shown.embedding, {**kept, "method": "consensus", "seed": seed, "maps": self.maps}
        )
        steadiness = [round(stability(together, clustering.assignment == facet), 3) for facet in range(facets)]
        return Clustering(
            clustering.assignment,
            clustering.distances,
            clustering.embedding,
            {**clustering.details, "stability": steadiness},
        )


def shared(assignments: np.ndarray) -> np.ndarray:
    """Return in which share (0–1) of clusterings (m, n) two images are in one cluster, (n, n) float32."""
    count = np.zeros((assignments.shape[1],) * 2, dtype=np.float32)
    for assignment in assignments:
        count += assignment[:, None] == assignment
    return count / len(assignments)


def stability(together: np.ndarray, members: np.ndarray) -> float:
    """Return how often (0–1) two different images of a cluster share one; 1 for a single image.

    Args:
        together: (n, n), as `shared` gives it.
        members: (n,) which images are the cluster's.

    """
    count = int(members.sum())
    if count < 2:
        return 1.0
    own = together[np.ix_(members, members)]
    return float((own.sum(dtype=np.float64) - count) / (count * (count - 1)))
