"""How different the visualizations are from one another, as a judge sees them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mfv.errors import MfvError
from mfv.evaluation.fidelity import CodeSpace
from mfv.evaluation.judge import Judge


def distances(directions: Tensor) -> Tensor:
    """Return the cosine distances (0–2) of all pairs of k directions (k, d), (k·(k−1)/2,)."""
    first, second = torch.triu_indices(len(directions), len(directions), 1)
    return 1 - (directions[first] * directions[second]).sum(1)


def diversity(space: CodeSpace, codes: Tensor) -> dict[str, float]:
    """Return the mean and the least distance (0–2) between the images of k facets; nothing for a single one.

    Distances are those of the directions in which facet fidelity is measured, so that 1 is
    unrelated, 0 the same, and a mean near 1 is what k different kinds have.
    """
    if len(codes) < 2:
        return {}
    between = distances(space.directions(codes))
    return {"diversity": float(between.mean()), "diversity_min": float(between.min())}


def less_seed_spread(judge: Judge, space: CodeSpace, images_by_seed: Sequence[Tensor]) -> float:
    """Return the mean distance across facets less that across seeds within a facet.

    Facets that differ no more than another random start of the same facet does are no facets: then
    it is 0 or below.

    Args:
        judge: the second network.
        space: the unit's facets in its codes.
        images_by_seed: for each of at least two seeds the images of the same k facets (k, 3, H, W).

    """
    if len(images_by_seed) < 2 or len({len(images) for images in images_by_seed}) != 1:
        raise MfvError("the spread over seeds needs the same facets rendered with at least two seeds")
    if len(images_by_seed[0]) < 2:
        raise MfvError("a single facet differs from no other: the spread over seeds needs two facets")
    directions = torch.stack([space.directions(judge(images).codes) for images in images_by_seed])
    across = torch.stack([distances(of_seed).mean() for of_seed in directions]).mean()
    within = torch.stack([distances(of_facet).mean() for of_facet in directions.transpose(0, 1)]).mean()
    return float(across - within)
