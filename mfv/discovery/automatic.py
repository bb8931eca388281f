"""How many facets a unit has: as many as there are dense places in the map of its images."""

from __future__ import annotations

import logging

import numpy as np

from mfv.discovery.checks import count_distinct, differ, prepared
from mfv.discovery.embedding import MOST, tsne_map
from mfv.discovery.pca import principal_components

COMPONENTS = 50  # that t-SNE sees
SHARE, LEAST = 0.04, 5  # of all images, that a facet has at least
LOOSE = 1 / 3  # share of the images in no cluster, above which there is one facet (docs/discovery.md)

logger = logging.getLogger("mfv")


def facet_count(codes: np.ndarray, seed: int = 0, unit_length: bool = True) -> int:
    """Return the number of clusters that HDBSCAN (Campello et al. 2013) finds in a t-SNE map of the codes, at least 1.

    A cluster has at least a twenty-fifth of the images, and five. HDBSCAN finds two or more dense places in any map,
    but where there is only one kind, a third of the images and more lie in none of them: then there is one facet.
    Of more than 10,000 codes as many are drawn at random, and the log says so: t-SNE takes no more.

    Args:
        codes: (n, d), finite.
        seed: of the map and of the draw.
        unit_length: whether each code is divided by its length first.

    Raises:
        MfvError: the codes cannot be clustered.

    """
    from sklearn.cluster import HDBSCAN

    if len(codes) > MOST:
        logger.info("the number of facets is found on %d images drawn from %d", MOST, len(codes))
        codes = codes[np.sort(np.random.default_rng(seed % 2**32).choice(len(codes), MOST, replace=False))]
    whole = prepared(codes, 1, unit_length)
    if not differ(whole):
        return 1
    points = principal_components(whole, COMPONENTS)
    least = max(LEAST, round(SHARE * len(points)))
    if len(points) < 2 * least:
        return 1
    plane = tsne_map(points, seed)
    labels = HDBSCAN(min_cluster_size=least, min_samples=LEAST, copy=True).fit_predict(plane.coordinates)
    found = 1 if (labels == -1).mean() > LOOSE else max(1, len(set(labels.tolist()) - {-1}))
    return min(found, count_distinct(whole, found))  # the map may spread copies of one image into several places
