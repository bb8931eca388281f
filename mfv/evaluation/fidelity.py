"""Facet fidelity: whether an image lies nearest to its own facet in a network's code space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

ROUNDING = 1e-6  # of the mean code's length: what differs less does not differ
TYPICAL = 1e-3  # the least cosine of photographs with their facets that others' are measured by


@dataclass(frozen=True)
class CodeSpace:
    """A unit's facets as directions in a network's codes, seen from the mean of all its images.

    The mean is taken off because codes of rectified units all point the same way: what tells
    facets apart is how they differ from it.

    Attributes:
        mean: (d,), of the codes of all the unit's images; 0 where they are a single facet, which differs from no other.
        centroids: (k, d), each facet's mean code less `mean`, of unit length.

    """

    mean: Tensor
    centroids: Tensor

    @classmethod
    def of(cls, codes: Tensor, assignment: np.ndarray) -> CodeSpace:
        """Return the space of a unit's images: their codes (n, d) and facets (n,) 0 … k−1."""
        facets = torch.as_tensor(assignment)
        mean = codes.mean(0) * bool(facets.any())
        centroids = torch.stack([codes[facets == k].mean(0) for k in range(int(facets.max()) + 1)])
        return cls(mean, _directions(centroids, mean))

    def directions(self, codes: Tensor) -> Tensor:
        """Return codes (n, d) less the mean, of unit length."""
        return _directions(codes, self.mean)

    def cosines(self, codes: Tensor) -> Tensor:
        """Return the cosine of each code (n, d) with each facet's centroid, (n, k)."""
        return self.directions(codes) @ self.centroids.T

    def own_cosines(self, codes: Tensor, facets: Tensor) -> Tensor:
        """Return the cosine of each code (n, d) with the centroid of the facet (n,) that it is meant for."""
        return self.cosines(codes).gather(1, facets[:, None])[:, 0]

    def nearest(self, codes: Tensor) -> Tensor:
        """Return the facet whose centroid is nearest to each code (n, d), (n,) int64."""
        return self.cosines(codes).argmax(1)


def _directions(codes: Tensor, mean: Tensor) -> Tensor:
    """Return codes (n, d) less a mean, of unit length; what is no more than rounding stays near zero."""
    return F.normalize(codes - mean, dim=1, eps=max(1e-12, ROUNDING * float(mean.norm())))


def fidelity(space: CodeSpace, codes: Tensor, facets: Tensor) -> float:
    """Return the share (0–1) of codes (n, d) whose nearest facet is the one that they are meant for (n,).

    By chance it is 1/k for k facets.
    """
    return float((space.nearest(codes) == facets).double().mean())


def typicality(space: CodeSpace, codes: Tensor, facets: Tensor, natural: Tensor) -> float | None:
    """Return how near codes lie to their own centroids, relative to the facet's photographs.

    It is the mean cosine of the codes (n, d) to the centroids of their facets (n,), over the median
    cosine of the photographs to theirs, `natural` (m,): 1 is as typical as a photograph, 0 has
    nothing of the facet, and above 1 is more typical than most photographs: nearer to the average. None where
    half of the photographs have nothing of their facets themselves.
    """
    usual = natural.quantile(0.5)
    return float(space.own_cosines(codes, facets).mean() / usual) if usual > TYPICAL else None
