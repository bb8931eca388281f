"""k-means by FAISS, from several k-means++ starts."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from mfv.discovery.checks import to_unit_length
from mfv.discovery.faiss_library import load_faiss, pick_device
from mfv.errors import MfvError

BLOCK = 4096  # points that are worked on together in double precision
ALL = 10**9  # points per centroid: FAISS must neither leave points out nor complain


@dataclass(frozen=True)
class KMeansResult:
    """A partition of n points into k clusters, none of them empty.

    Attributes:
        assignment: (n,) int64, each point's cluster.
        centers: (k, d) float32, the clusters' means.
        inertia: the sum of squared distances to the own centre.
        device: where it was computed: "cpu" or "gpu".

    """

    assignment: np.ndarray
    centers: np.ndarray
    inertia: float
    device: str


def kmeans(
    points: np.ndarray,
    clusters: int,
    seed: int,
    tries: int = 10,
    iterations: int = 100,
    device: str = "auto",
    start_points: int | None = None,
    spherical: bool = False,
) -> KMeansResult:
    """Return the partition of the points (n, d) with the least inertia of several tries.

    Args:
        points: finite; at least `clusters` of them differ.
        clusters: how many.
        seed: of the starts. The same seed gives the same result on the same device.
        tries: k-means++ starts (Arthur and Vassilvitskii 2007).
        iterations: of Lloyd's algorithm in each try.
        device: "cpu", "gpu", or "auto": a GPU for much work, where FAISS has one.
        start_points: how many points, drawn at random, the starts are drawn from; by default all. All points take
            part in Lloyd's algorithm either way. k-means++ measures k times the distance to every point.
        spherical: whether the centres, like the points, have unit length: then nearness is the cosine.

    Raises:
        MfvError: FAISS or the GPU is missing, or the points are too few, too equal or not finite.

    """
    if tries < 1 or iterations < 1:
        raise MfvError(f"k-means got tries={tries} and iterations={iterations}; each is at least 1")
    points = np.asarray(points, dtype=np.float32)
    if points.ndim != 2 or not np.isfinite(points).all():
        raise MfvError(f"k-means takes finite points (n, d), not {points.dtype} {points.shape} with NaN or infinity")
    if not 1 <= clusters <= len(points):
        raise MfvError(f"k-means cannot make {clusters} clusters of {len(points)} points: ask for fewer")
    from sklearn.cluster import kmeans_plusplus

    faiss = load_faiss()
    place = pick_device(faiss, device, points.size * clusters)
    working = points.copy() if spherical else _standardized(points)
    if spherical:
        to_unit_length(working)
    start_seeds = np.random.default_rng(seed % 2**32).integers(2**31, size=tries)
    best, least = np.empty(0, dtype=np.int64), np.inf
    for start_seed in start_seeds:
        drawn = working
        if start_points is not None and start_points < len(working):
            chosen = np.random.default_rng(start_seed).choice(len(working), max(start_points, clusters), replace=False)
            drawn = working[np.sort(chosen)]
        starts, _ = kmeans_plusplus(drawn, clusters, random_state=int(start_seed))
        centers = _train(faiss, working, starts, iterations, place == "gpu", spherical)
        assignment = _without_empty(_nearest(faiss, working, centers), working, clusters)
        inertia = _means(working, assignment, clusters)[1]
        if inertia < least:
            best, least = assignment, inertia
    means, inertia = _means(points, best, clusters)
    return KMeansResult(best, means.astype(np.float32), inertia, device=place)


def _standardized(points: np.ndarray) -> np.ndarray:
    """Move and scale all points alike, for FAISS's float32 loses small distances far from the origin.

    In double precision, some points at a time: that of all would be several times the memory of the points.
    """
    mean = points.mean(axis=0, dtype=np.float64)
    blocks = [slice(begin, begin + BLOCK) for begin in range(0, len(points), BLOCK)]
    spread = max(float(np.abs(points[block] - mean).max()) for block in blocks)
    result = np.empty(points.shape, dtype=np.float32)
    for block in blocks:
        result[block] = (points[block] - mean) / (spread if spread > 0 else 1.0)
    return result


def _train(
    faiss: ModuleType, points: np.ndarray, starts: np.ndarray, iterations: int, gpu: bool, spherical: bool
) -> np.ndarray:
    trainer = faiss.Kmeans(
        points.shape[1],
        len(starts),
        niter=iterations,
        nredo=1,
        seed=0,  # takes no part, as the starts are given
        gpu=gpu,
        spherical=spherical,
        min_points_per_centroid=1,
        max_points_per_centroid=ALL,
    )
    trainer.train(points, init_centroids=np.ascontiguousarray(starts, dtype=np.float32))
    return np.array(trainer.centroids, dtype=np.float32)


def _nearest(faiss: ModuleType, points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(centers)
    return index.search(points, 1)[1].ravel().astype(np.int64)


def _without_empty(assignment: np.ndarray, points: np.ndarray, clusters: int) -> np.ndarray:
    """Give each empty cluster the point that is farthest from its own centre and not alone there."""
    assignment = assignment.copy()
    while len(empty := np.flatnonzero(np.bincount(assignment, minlength=clusters) == 0)):
        means, _ = _means(points, assignment, clusters)
        distances = ((points - means[assignment]) ** 2).sum(axis=1)
        distances[np.bincount(assignment)[assignment] == 1] = -1
        assignment[distances.argmax()] = empty[0]
    return assignment


def _means(points: np.ndarray, assignment: np.ndarray, clusters: int) -> tuple[np.ndarray, float]:
    """Return the clusters' means (k, d) in float64, zero for empty ones, and the sum of squared distances to them."""
    means, inertia = np.zeros((clusters, points.shape[1])), 0.0
    for cluster in np.unique(assignment):
        rows = np.flatnonzero(assignment == cluster)
        blocks = [rows[begin : begin + BLOCK] for begin in range(0, len(rows), BLOCK)]
        means[cluster] = sum(points[block].sum(axis=0, dtype=np.float64) for block in blocks) / len(rows)
        inertia += sum(float(((points[block] - means[cluster]) ** 2).sum()) for block in blocks)
    return means, inertia
