"""PCA, t-SNE and k-means against scikit-learn's."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.bench import Bench, Row, timed
from mfv.discovery.embedding import tsne_map
from mfv.discovery.partition import kmeans
from mfv.discovery.pca import principal_components

CODES = (5000, 1280)  # images, numbers each
MAPPED = 500  # images of the t-SNE map


def discovery(bench: Bench) -> list[Row]:
    """Time PCA, t-SNE and k-means against scikit-learn's on clustered codes."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    codes = clustered(*CODES, 40)
    few = principal_components(codes, 50)
    rows = []
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "PCA, {:,} × {:,} to 50".format(*CODES): (
            lambda: principal_components(codes, 50),
            lambda: PCA(50, svd_solver="full").fit_transform(codes),
        ),
        f"t-SNE, {MAPPED:,} × 50": (
            lambda: tsne_map(few[:MAPPED], 0),
            lambda: TSNE(2, init="random", random_state=0).fit_transform(few[:MAPPED]),
        ),
        f"k-means, {CODES[0]:,} × 50, k = 40": (
            lambda: kmeans(few, 40, 0),
            lambda: KMeans(40, n_init=10, random_state=0).fit(few),
        ),
    }
    for name, (own, other) in pairs.items():
        turns = [{"own": timed(own), "other": timed(other)} for _ in range(3)]
        ratio = statistics.median(turn["other"] / turn["own"] for turn in turns)
        seconds = statistics.median(turn["own"] for turn in turns)
        rows.append(Row("discover", name, ratio, "scikit-learn's time over ours", seconds, "s"))
    return rows


def clustered(count: int, width: int, clusters: int) -> np.ndarray:
    """Return codes (count, width) float32 around so many centres."""
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((clusters, width), dtype=np.float32)
    return centers[generator.integers(0, clusters, count)] + generator.standard_normal((count, width), dtype=np.float32)
