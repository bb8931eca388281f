"""Clusters by what of the layer below drives the unit, rather than by all that is in the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mfv.discovery.tsne import TSNEKMeans
from mfv.structures import Clustering

ATTRIBUTION = "attribution"


@dataclass(frozen=True)
class AttributionTSNE(TSNEKMeans):
    """The paper's method on each image's contributions to the unit (Dreyer et al. 2024, PURE).

    What the unit's layer is given, times the gradient of the unit's value with respect to it, summed over each map:
    how much each unit below adds to this one (`mfv.activations.contributions`). Images that drive the unit by the
    same units below come together, whatever else they show. Its parameters are those of `TSNEKMeans`.
    """

    codes: ClassVar[str] = ATTRIBUTION  # what `Experiment` is to give it

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Clustering:
        """Find `facets` clusters among the contributions (n, d); `MfvError` where that cannot be."""
        found = super().__call__(codes, facets, seed)
        details = {**found.details, "method": ATTRIBUTION}
        return Clustering(found.assignment, found.distances, found.embedding, details)
