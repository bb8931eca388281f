"""Recipes from named parts, as YAML gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from numbers import Real
from typing import Any

from mfv.errors import MfvError
from mfv.objectives.base import Objective, WeightedSum
from mfv.parameterizations import Parameterization, Pixels
from mfv.regularizers.base import Regularizer
from mfv.rendering.checks import AUTO, NOISE
from mfv.rendering.octave import Octave, Recipe
from mfv.schedules import Schedule

_SETTINGS = tuple(field.name for field in fields(Octave))


def one_octave_recipe(
    iterations: int,
    step: float | Schedule,
    objectives: Mapping[str, Objective | Mapping[str, Any] | None],
    regularizers: Mapping[str, Regularizer | None] | None = None,
    start: str = "mean",
    momentum: float = 0.0,
    noise: Sequence[float | None] = NOISE,
    parameterization: Parameterization | None = None,
    optimizer: str = "sgd",
    normalize: bool = True,
    scale: float = 1.0,
    jitter: float | None = None,
    average: float = 0.0,
    batch_size: int | str = AUTO,
) -> Recipe:
    """Return a recipe of one octave from named objectives and regularizers.

    Args:
        iterations: steps.
        step: grey levels a step; of other parameters than pixels, in their own unit.
        objectives: by a name of one's choice, {"objective": …, "weight": …}, or the objective alone for a weight of 1;
            a weight of 0, or None, leaves one out.
        regularizers: by a name of one's choice; None leaves one out; by default there are none.
        start: "mean", "contrast", "noise", "image" or "gray" (`Recipe`).
        momentum: of the gradient, 0–1.
        noise: mean (null: the model's mean colour) and standard deviation of the noise start, in grey levels.
        parameterization: what the optimizer moves; by default the pixels.
        optimizer: "sgd" or "adam".
        normalize: whether the gradient is divided by its mean absolute value.
        scale: the canvas's side over the network's input.
        jitter: the spread of the network's view on a larger canvas, as a share of the room that there is.
        average: the share of the steps, at the end, whose images are averaged into the result.
        batch_size: images that pass through the network at once, or "auto" (`Recipe`).

    """
    given = _named("objectives", objectives).items()
    parts = [_weighted(name, part) for name, part in given if part is not None and part != {}]
    parts = [(objective, weight) for objective, weight in parts if weight != 0]
    if not parts:
        raise MfvError("render.objectives: every weight is 0; give at least one objective a weight")
    objective = WeightedSum([part for part, _ in parts], [weight for _, weight in parts])
    chosen = _regularizers("regularizers", regularizers)
    octave = Octave(iterations, step, scale, jitter, objective, chosen, normalize)
    return Recipe(
        (octave,),
        start=start,
        momentum=momentum,
        noise=noise,
        optimizer=optimizer,
        parameterization=parameterization or Pixels(),
        average=average,
        batch_size=batch_size,
    )


def octaves_recipe(
    octaves: Mapping[str, Mapping[str, Any] | None],
    start: str = "mean",
    momentum: float = 0.0,
    noise: Sequence[float | None] = NOISE,
    parameterization: Parameterization | None = None,
    optimizer: str = "sgd",
    average: float = 0.0,
    batch_size: int | str = AUTO,
) -> Recipe:
    """Return a recipe from named octaves, in their order.

    Args:
        octaves: by a name of one's choice, the arguments of `Octave`; its regularizers by names of
            their own, None leaves one out. None leaves out the octave.
        start: "mean", "contrast", "noise", "image" or "gray" (`Recipe`).
        momentum: of the gradient, 0–1.
        noise: mean (null: the model's mean colour) and standard deviation of the noise start, in grey levels.
        parameterization: what the optimizer moves; by default the pixels.
        optimizer: "sgd" or "adam".
        average: the share of the last octave's steps whose images are averaged into the result.
        batch_size: images that pass through the network at once, or "auto" (`Recipe`).

    """
    return Recipe(
        tuple(_octave(name, settings) for name, settings in octaves.items() if settings is not None),
        start=start,
        momentum=momentum,
        noise=noise,
        parameterization=parameterization or Pixels(),
        optimizer=optimizer,
        average=average,
        batch_size=batch_size,
    )


def _octave(name: str, settings: Mapping[str, Any]) -> Octave:
    unknown = [key for key in settings if key not in _SETTINGS]
    if unknown or "iterations" not in settings:
        wrong = f"has no setting {unknown[0]!r}" if unknown else "lacks its iterations"
        raise MfvError(f"render.octaves.{name} {wrong}; an octave takes {', '.join(_SETTINGS)}")
    chosen = _regularizers(f"octaves.{name}.regularizers", settings.get("regularizers"))
    return Octave(**{**settings, "regularizers": chosen})


def _weighted(name: str, part: Any) -> tuple[Objective, float | Schedule]:
    """Return a named objective and its weight."""
    place = f"render.objectives.{name}"
    if isinstance(part, Objective):
        return part, 1.0
    if not isinstance(part, Mapping) or "objective" not in part or part.keys() - {"objective", "weight"}:
        raise MfvError(f'{place} is {part!r}; give an Objective, or {{"objective": …, "weight": …}}')
    objective, weight = part["objective"], part.get("weight", 1.0)
    if not isinstance(objective, Objective):
        raise MfvError(f"{place}.objective is {objective!r}, not an Objective")
    if isinstance(weight, bool) or not isinstance(weight, Real | Schedule):
        raise MfvError(f"{place}.weight is {weight!r}; it is a number, or a schedule (`mfv.schedules`)")
    return objective, weight if isinstance(weight, Schedule) else float(weight)


def _regularizers(setting: str, given: Any) -> tuple[Regularizer, ...]:
    """Return named regularizers without those that are None."""
    chosen = {name: part for name, part in _named(setting, given or {}).items() if part is not None}
    for name, part in chosen.items():
        if not isinstance(part, Regularizer):
            hint = f", as {part.__name__}()" if isinstance(part, type) else ""
            raise MfvError(f"render.{setting}.{name} is {part!r}; give an object of a Regularizer's class{hint}")
    return tuple(chosen.values())


def _named(setting: str, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise MfvError(f"render.{setting} is {given!r}; give a dictionary, by names of one's choice")
    return given
