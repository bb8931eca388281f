"""k-means by FAISS, with its traps avoided."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from types import ModuleType

import numpy as np
from sklearn.cluster import kmeans_plusplus

from mfv.discovery.checks import check_codes
from mfv.errors import MfvError

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class KMeansResult:
    """The best of several tries."""

    assignment: np.ndarray  # (n,) int64
    centers: np.ndarray  # (k, d) float32
    inertia: float  # Σ squared distance to the own centre
    device: str  # "cpu" or "gpu": which one ran


def kmeans(
    points: np.ndarray,
    clusters: int,
    seed: int,
    tries: int = 10,
    iterations: int = 100,
    device: str = "auto",
) -> KMeansResult:
    """Cluster points (n, d) by Lloyd's k-means from k-means++ starts; the lowest inertia wins.

    FAISS by itself starts at random, tries once and looks at no more than 256 points a cluster;
    here it gets scikit-learn's k-means++ starts and looks at every point.

    Args:
        points: (n, d), finite.
        clusters: k.
        seed: of the first try's start; the next ones follow from it.
        tries: starts.
        iterations: of each try, at most.
        device: "cpu", "gpu", or "auto" for a GPU where FAISS has one.

    Raises:
        MfvError: too few points or distinct points, NaN, or no usable FAISS.

    """
    check_codes(points, clusters)
    faiss = load_faiss()
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    if device not in ("auto", "cpu", "gpu"):
        raise MfvError(f"device is {device!r}; it is auto, cpu or gpu")
    if device == "gpu" and not gpus:
        raise MfvError('this FAISS sees no GPU: install the extra "mfv[gpu]", or set device=cpu')
    gpu = bool(gpus) and device != "cpu"
    points = np.ascontiguousarray(points, dtype=np.float32)
    best: KMeansResult | None = None
    for attempt in range(tries):
        start, _ = kmeans_plusplus(points, clusters, random_state=seed * tries + attempt)
        run = faiss.Kmeans(
            points.shape[1],
            clusters,
            niter=iterations,
            nredo=1,
            seed=seed * tries + attempt + 1,
            min_points_per_centroid=1,
            max_points_per_centroid=10**9,
            gpu=gpu,
        )
        run.train(points, init_centroids=np.ascontiguousarray(start, dtype=np.float32))
        assignment = run.index.search(points, 1)[1][:, 0].astype(np.int64)
        result = _settled(points, assignment, clusters, "gpu" if gpu else "cpu")
        if result is not None and (best is None or result.inertia < best.inertia):
            best = result
    if best is None:
        raise MfvError(f"k-means left clusters empty in all {tries} tries: ask for fewer than {clusters} facets")
    return best


def load_faiss() -> ModuleType:
    """Return FAISS; MfvError where it is missing, or where its CPU and GPU builds have overwritten one another."""
    builds = [name for name in ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12") if _installed(name)]
    if len(builds) > 1:
        raise MfvError(
            f"{' and '.join(builds)} are both installed and share one folder: "
            f"pip uninstall {' '.join(builds)}, then install one of the extras cpu and gpu"
        )
    try:
        import faiss
    except ImportError as error:
        raise MfvError('FAISS is missing: pip install "mfv[cpu]", or "mfv[gpu]" for CUDA') from error
    return faiss


def _settled(points: np.ndarray, assignment: np.ndarray, clusters: int, device: str) -> KMeansResult | None:
    """Return the centres as the means of their points, or None where a cluster is empty."""
    counts = np.bincount(assignment, minlength=clusters)
    if not counts.all():
        return None
    centers = np.zeros((clusters, points.shape[1]), dtype=np.float64)
    np.add.at(centers, assignment, points)
    centers /= counts[:, None]
    inertia = float(np.square(points - centers[assignment]).sum())
    return KMeansResult(assignment, centers.astype(np.float32), inertia, device)


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
