"""Facets that are too alike become one, facets that are too small go to their neighbours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from mfv.discovery.order import by_size
from mfv.errors import MfvError

if TYPE_CHECKING:
    from mfv.structures import Clustering

ROUNDING = 1e-9  # .07 · 100 is a little more than 7, and a vector's cosine with itself a little less than 1


@dataclass(frozen=True)
class Refinement:
    """What is made of the clusters that were found; by default nothing.

    There may then be fewer facets than were asked for; `facets.json` says what became of how many.

    Attributes:
        merge: the cosine (−1 to 1) of two facets' mean codes, about the mean of all the unit's images, from which they
            are near-duplicates and become one, the most alike first; None for never.
        smallest: the share of the images (0–1) that a facet has at least; the images of a smaller one, a speck, go
            to the facet whose mean code is nearest; None for any size.

    """

    merge: float | None = None
    smallest: float | None = None

    def __post_init__(self) -> None:
        if self.merge is not None and not -1 <= self.merge <= 1:
            raise MfvError(f"refine.merge is {self.merge}; it is a cosine from -1 to 1, or null for no merging")
        if self.smallest is not None and not 0 <= self.smallest <= 0.5:
            raise MfvError(
                f"refine.smallest is {self.smallest}; it is a share of the images from 0 to 0.5, or null for any size"
            )

    def __call__(self, clustering: Clustering, codes: np.ndarray) -> Clustering:
        """Return the refined clusters of the codes (n, d), the largest as 0.

        Distances are then those of the codes to their facet's mean where anything changed.
        """
        points = codes.astype(np.float64)
        assignment = clustering.assignment
        without, specks = without_specks(assignment, points, self.smallest or 0.0)
        fewer, merged = merged_alike(without, points, np.inf if self.merge is None else self.merge)
        if not specks and not merged:
            return clustering
        numbered = by_size(fewer)
        distances = np.zeros(len(points), dtype=np.float32)
        for facet in np.unique(numbered):
            rows = numbered == facet
            distances[rows] = np.linalg.norm(points[rows] - points[rows].mean(0), axis=1)
        details = {**clustering.details, "merged": merged, "specks": specks}
        for figure in ("stability", "inertia"):  # of facets that are no more
            details.pop(figure, None)
        return replace(clustering, assignment=numbered, distances=distances, details=details)


def without_specks(assignment: np.ndarray, points: np.ndarray, smallest: float) -> tuple[np.ndarray, int]:
    """Return the assignment with clusters below a share of the points dissolved, and how many they were.

    The largest cluster stays whatever its share.
    """
    clusters, sizes = np.unique(assignment, return_counts=True)
    kept = clusters[sizes >= smallest * len(assignment) - ROUNDING]
    if not len(kept):
        kept = clusters[[sizes.argmax()]]
    means = np.stack([points[assignment == cluster].mean(0) for cluster in kept])
    result = assignment.copy()
    loose = ~np.isin(assignment, kept)
    if loose.any():
        distances = ((points[loose][:, None] - means) ** 2).sum(2)
        result[loose] = kept[distances.argmin(1)]
    return result, len(clusters) - len(kept)


def merged_alike(assignment: np.ndarray, points: np.ndarray, cosine: float) -> tuple[np.ndarray, int]:
    """Return the assignment with the most alike clusters made one until no two are as alike as that, and how often."""
    result, origin, times = assignment.copy(), points.mean(0), 0
    while len(clusters := np.unique(result)) > 1:
        means = np.stack([points[result == cluster].mean(0) for cluster in clusters]) - origin
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        directions = np.divide(means, lengths, out=np.zeros_like(means), where=lengths > 0)
        alike = directions @ directions.T
        np.fill_diagonal(alike, -np.inf)
        one, other = np.unravel_index(alike.argmax(), alike.shape)
        if alike[one, other] < cosine - ROUNDING:
            break
        result[result == clusters[other]] = clusters[one]
        times += 1
    return result, times
