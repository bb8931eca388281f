"""Coverage: whether the visualizations together stand for all of the unit's images."""

from __future__ import annotations

from torch import Tensor

from mfv.evaluation.fidelity import CodeSpace


def coverage(space: CodeSpace, codes: Tensor) -> float:
    """Return the share of the k facets that are the nearest of at least one of the images' codes (m, d)."""
    return len(space.nearest(codes).unique()) / len(space.centroids)


def image_coverage(space: CodeSpace, codes: Tensor, photographs: Tensor, assignment: Tensor) -> float:
    """Return the share of photographs whose nearest visualization is that of their own facet.

    A visualization that attracts photographs of all facets, or none of its own, lowers it. By chance
    it is about 1/k.

    Args:
        space: the unit's facets in the judge's codes.
        codes: (k, d) of the visualizations, one per facet.
        photographs: (n, d) codes of images of the unit: those that the facets were found in, or held-out ones.
        assignment: (n,) their facets.

    """
    nearest = (space.directions(photographs) @ space.directions(codes).T).argmax(1)
    return float((nearest == assignment).double().mean())
