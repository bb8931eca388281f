"""2-D maps of codes."""

import importlib.util
import logging
import warnings
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from mfv.discovery.pca import principal_components
from mfv.errors import MfvError

LEAST = 5  # points that t-SNE can arrange
MOST = 10_000  # points that scikit-learn's t-SNE arranges in a minute or two
EARLY = 250  # of 1,000 iterations, t-SNE's own share of those with exaggerated attraction

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Embedding:
    """A 2-D map, and how it came about."""

    coordinates: np.ndarray  # (n, 2) float32
    method: str  # "tsne" or "pca"
    perplexity: float | None = None  # of t-SNE, as used
    divergence: float | None = None  # Kullback–Leibler divergence that t-SNE came down to


def tsne_map(
    points: np.ndarray,
    seed: int,
    perplexity: float = 30.0,
    iterations: int = 1000,
    init: str = "random",
    threads: int | None = 1,
) -> Embedding:
    """Arrange the points (n, d) in the plane by t-SNE (van der Maaten and Hinton 2008).

    The perplexity comes down to a third of n − 1 where it is higher. Fewer than five points, or points
    that are all the same, are arranged by PCA; more than 10,000 by openTSNE, where it is installed.

    Args:
        points: finite.
        seed: the same seed gives the same map, to the byte with one thread.
        perplexity: about how many neighbours count for each point.
        iterations: of the gradient descent, at least 250.
        init: "pca" or "random".
        threads: of the processor; more are faster, and then a seed's map may differ from run to run.
            None takes all.

    """
    check_tsne(perplexity, iterations, init)
    count = len(points)
    spread = float(np.abs(points - points[0]).max()) if count else 0.0
    if count < LEAST or spread == 0:
        return pca_map(points)
    most = (count - 1) / 3
    if perplexity > most:
        logger.info("t-SNE's perplexity is %.3g instead of %g: there are only %d images", most, perplexity, count)
        perplexity = most
    scaled = ((points - points.mean(axis=0)) / spread).astype(np.float32)
    if scaled.shape[1] < 2:
        scaled = np.pad(scaled, ((0, 0), (0, 1)))
    with warnings.catch_warnings(), threadpool_limits(threads):
        warnings.simplefilter("ignore")
        if count > MOST and _has_opentsne():
            coordinates, divergence = by_opentsne(scaled, seed, perplexity, iterations, init, threads)
        else:
            if count > MOST:
                logger.info('t-SNE of %d images takes long; pip install "mfv[large]" brings a faster one', count)
            coordinates, divergence = by_scikit_learn(scaled, seed, perplexity, iterations, init)
    return Embedding(coordinates.astype(np.float32), "tsne", float(perplexity), divergence)


def check_tsne(perplexity: float, iterations: int = 1000, init: str = "random") -> None:
    """Raise `MfvError` for settings that t-SNE cannot have."""
    if init not in ("pca", "random"):
        raise MfvError(f"discovery.init is {init!r}; it is 'pca' or 'random'")
    if iterations < 250 or perplexity <= 0:
        raise MfvError(
            f"t-SNE got iterations={iterations} and perplexity={perplexity:g}; "
            f"give at least 250 iterations and a positive perplexity"
        )


def _has_opentsne() -> bool:
    return importlib.util.find_spec("openTSNE") is not None


def by_scikit_learn(
    points: np.ndarray, seed: int, perplexity: float, iterations: int, init: str
) -> tuple[np.ndarray, float]:
    """Return scikit-learn's map (n, 2) by Barnes and Hut's trees, and its divergence."""
    from sklearn.manifold import TSNE

    method = TSNE(2, perplexity=perplexity, max_iter=iterations, init=init, random_state=seed % 2**32)
    return method.fit_transform(points), float(method.kl_divergence_)


def by_opentsne(
    points: np.ndarray, seed: int, perplexity: float, iterations: int, init: str, threads: int | None
) -> tuple[np.ndarray, float]:
    """Return openTSNE's map (n, 2), whose time grows with the points, and its divergence (Poličar et al. 2024)."""
    from openTSNE import TSNE as LinearTSNE

    early = EARLY * iterations // 1000
    method = LinearTSNE(
        perplexity=perplexity, initialization=init, early_exaggeration_iter=early, n_iter=iterations - early,
        negative_gradient_method="fft", n_jobs=threads or -1, random_state=seed % 2**32,
    )  # fmt: skip
    found = method.fit(points)
    return np.asarray(found), float(found.kl_divergence)


def pca_map(points: np.ndarray) -> Embedding:
    """Arrange the points (n, d) by their first two principal components, the second zero where there is none."""
    coordinates = principal_components(points, 2)
    return Embedding(np.pad(coordinates, ((0, 0), (0, 2 - coordinates.shape[1]))), "pca")


def display_map(points: np.ndarray, kind: str, seed: int) -> Embedding:
    """Arrange the points for the eye, by "tsne" or "pca"; more than 10,000 always by PCA."""
    check_map(kind)
    if kind == "tsne" and len(points) > MOST:
        logger.info("the map is made by PCA: %d images are too many for t-SNE", len(points))
        kind = "pca"
    return tsne_map(points, seed, init="pca") if kind == "tsne" else pca_map(points)


def check_map(kind: str) -> None:
    """Raise `MfvError` where there is no such kind of map."""
    if kind not in ("tsne", "pca"):
        raise MfvError(f"discovery.map is {kind!r}; it is 'tsne' or 'pca'")
