"""Recipes from named parts, as YAML gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfv.errors import MfvError
from mfv.objectives.base import Objective, WeightedSum
from mfv.parameterizations import Parameterization, Pixels
from mfv.regularizers.base import Regularizer
from mfv.rendering.octave import Octave, Recipe
from mfv.schedules import Schedule


def anchored_recipe(
    iterations: int,
    step: float | Schedule,
    objectives: Mapping[str, Mapping[str, Any]],
    regularizers: Mapping[str, Regularizer | None],
    start: str = "mean",
    momentum: float = 0.0,
    noise: Sequence[float | None] = (175.0, 8.0),
    parameterization: Parameterization | None = None,
    optimizer: str = "sgd",
    normalize: bool = True,
    scale: float = 1.0,
    jitter: float | None = None,
) -> Recipe:
    """Return a recipe of one octave from named objectives and regularizers.

    Args:
        iterations: steps.
        step: grey levels a step; of other parameters than pixels, in their own unit.
        objectives: by a name of one's choice, {"objective": …, "weight": …}; a weight of 0 leaves one out.
        regularizers: by a name of one's choice; None leaves one out.
        start: "mean", "noise", "image" or "gray".
        momentum: of the gradient, 0–1.
        noise: mean (null: the model's mean colour) and standard deviation of the noise start, in grey levels.
        parameterization: what the optimizer moves; by default the pixels.
        optimizer: "sgd" or "adam".
        normalize: whether the gradient is divided by its mean absolute value.
        scale: the canvas's side over the network's input.
        jitter: the spread of the network's view on a larger canvas, as a share of the room that there is.

    """
    parts = {name: part for name, part in objectives.items() if part and part["weight"] != 0}
    if not parts:
        raise MfvError("render.objectives: every weight is 0; give at least one objective a weight")
    for name, part in parts.items():
        if not isinstance(part["objective"], Objective):
            raise MfvError(f"render.objectives.{name}.objective is {part['objective']!r}, not an Objective")
    objective = WeightedSum([part["objective"] for part in parts.values()], [part["weight"] for part in parts.values()])
    chosen = tuple(regularizer for regularizer in regularizers.values() if regularizer is not None)
    octave = Octave(iterations, step, scale, jitter, objective, chosen, normalize)
    return Recipe(
        (octave,),
        start=start,
        momentum=momentum,
        noise=_noise(noise),
        optimizer=optimizer,
        parameterization=parameterization or Pixels(),
    )


def _noise(noise: Sequence[float | None]) -> tuple[float | None, float]:
    if len(noise) != 2 or noise[1] is None:
        raise MfvError(f"render.noise is {list(noise)}; it is a mean (or null) and a standard deviation")
    return noise[0], noise[1]
