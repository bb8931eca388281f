"""k-means by FAISS, from several k-means++ starts."""

from dataclasses import dataclass
from types import ModuleType

import numpy as np
from sklearn.cluster import kmeans_plusplus

from mfv.discovery.faiss_library import load_faiss, pick_device
from mfv.errors import MfvError

ALL = 10**9  # points per centroid: FAISS must neither leave points out nor complain


@dataclass(frozen=True)
class KMeansResult:
    """A partition of n points into k clusters, none of them empty."""

    assignment: np.ndarray  # (n,) int64: each point's cluster
    centers: np.ndarray  # (k, d) float32: the clusters' means
    inertia: float  # sum of squared distances to the own centre
    device: str  # where it was computed: "cpu" or "gpu"


def kmeans(
    points: np.ndarray,
    clusters: int,
    seed: int,
    tries: int = 10,
    iterations: int = 100,
    device: str = "auto",
) -> KMeansResult:
    """Return the partition of the points (n, d) with the least inertia of several tries.

    Args:
        points: finite; at least `clusters` of them differ.
        clusters: how many.
        seed: of the starts. The same seed gives the same result on the same device.
        tries: k-means++ starts (Arthur and Vassilvitskii 2007).
        iterations: of Lloyd's algorithm in each try.
        device: "cpu", "gpu", or "auto": a GPU for much work, where FAISS has one.

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
    faiss = load_faiss()
    place = pick_device(faiss, device, points.size * clusters)
    working = _standardized(points)
    generator = np.random.RandomState(seed % 2**32)
    best, least = None, np.inf
    for _ in range(tries):
        starts, _ = kmeans_plusplus(working, clusters, random_state=generator)
        centers = _train(faiss, working, starts, iterations, gpu=place == "gpu")
        assignment = _without_empty(faiss, working, centers)
        inertia = _inertia(working, assignment, clusters)
        if best is None or inertia < least:
            best, least = assignment, inertia
    assert best is not None
    return KMeansResult(
        assignment=best,
        centers=_means(points, best, clusters).astype(np.float32),
        inertia=_inertia(points, best, clusters),
        device=place,
    )


def _standardized(points: np.ndarray) -> np.ndarray:
    """Move and scale all points alike, for FAISS's float32 loses small distances far from the origin."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    spread = np.abs(centred).max()
    return np.ascontiguousarray(centred / spread if spread > 0 else centred, dtype=np.float32)


def _train(faiss: ModuleType, points: np.ndarray, starts: np.ndarray, iterations: int, gpu: bool) -> np.ndarray:
    trainer = faiss.Kmeans(
        points.shape[1],
        len(starts),
        niter=iterations,
        nredo=1,
        seed=0,  # takes no part, as the starts are given
        gpu=gpu,
        min_points_per_centroid=1,
        max_points_per_centroid=ALL,
    )
    trainer.train(points, init_centroids=np.ascontiguousarray(starts, dtype=np.float32))
    return np.array(trainer.centroids, dtype=np.float32)


def _without_empty(faiss: ModuleType, points: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """Return each point's cluster. An empty cluster takes the point that is farthest from its own centre."""
    index = faiss.IndexFlatL2(points.shape[1])
    index.add(centers)
    assignment = index.search(points, 1)[1].ravel().astype(np.int64)
    sizes = np.bincount(assignment, minlength=len(centers))
    for empty in np.flatnonzero(sizes == 0):
        means = _means(points, assignment, len(centers))
        distances = ((points - means[assignment]) ** 2).sum(axis=1)
        farthest = np.where(np.bincount(assignment, minlength=len(centers))[assignment] > 1, distances, -1).argmax()
        assignment[farthest] = empty
    return assignment


def _means(points: np.ndarray, assignment: np.ndarray, clusters: int) -> np.ndarray:
    sums = np.zeros((clusters, points.shape[1]))
    np.add.at(sums, assignment, points)
    return sums / np.maximum(np.bincount(assignment, minlength=clusters), 1)[:, None]


def _inertia(points: np.ndarray, assignment: np.ndarray, clusters: int) -> float:
    return float(((points - _means(points, assignment, clusters)[assignment]) ** 2).sum())
