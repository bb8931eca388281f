"""The default recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mfv.objectives import ClassMargin, FacetAnchor, Objective
from mfv.regularizers import RandomAffine, RandomTone, Regularizer, SpectralGradient, TVProx
from mfv.rendering.octave import Recipe
from mfv.rendering.recipes import one_octave_recipe
from mfv.schedules import Geometric


def fast_recipe(
    iterations: int = 200,
    *,
    objectives: Mapping[str, Objective | Mapping[str, Any] | None] | None = None,
    regularizers: Mapping[str, Regularizer | None] | None = None,
) -> Recipe:
    """Return the default recipe, as conf/render/fast.yaml has it, with parts of one's own where they are given.

    Args:
        iterations: steps, a gradient of the network for each; what they are worth: docs/parameters.md.
        objectives: more of them, by names of one's choice: {"objective": …, "weight": …}, or the objective alone for a
            weight of 1. By the name of one that there is ("margin", "codes", "middle") it takes its place; None leaves
            that out.
        regularizers: likewise; there are "tone", "affine", "spectrum" and "tv".

    Example:
        >>> mfv.fast_recipe(300, regularizers={"greyer": Greyer(0.02), "tone": None})

    """
    return one_octave_recipe(
        iterations=iterations,
        step=Geometric(4.0, 1.0),
        start="contrast",
        momentum=0.5,
        average=0.5,
        objectives={
            "margin": {"objective": ClassMargin(), "weight": 32.0},
            "codes": {"objective": FacetAnchor("codes", cap=90, rivals=0.5), "weight": 130.0},
            "middle": {"objective": FacetAnchor("middle", cap=90, rivals=0.5), "weight": 130.0},
            **(objectives or {}),
        },
        regularizers={
            "tone": RandomTone(),
            "affine": RandomAffine(exact=False),
            "spectrum": SpectralGradient(chroma=0.5, blur=1.5),
            "tv": TVProx(0.4, sweeps=1, every=3, most=2.0),
            **(regularizers or {}),
        },
    )
