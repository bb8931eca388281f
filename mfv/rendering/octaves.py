"""Recipes of several octaves from named parts, as YAML gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from mfv.errors import MfvError
from mfv.parameterizations import Parameterization, Pixels
from mfv.rendering.octave import Octave, Recipe

_SETTINGS = tuple(field.name for field in fields(Octave))


def octave_recipe(
    octaves: Mapping[str, Mapping[str, Any] | None],
    start: str = "mean",
    momentum: float = 0.0,
    noise: Sequence[float | None] = (175.0, 8.0),
    parameterization: Parameterization | None = None,
    optimizer: str = "sgd",
) -> Recipe:
    """Return a recipe from named octaves, in their order.

    Args:
        octaves: by a name of one's choice, the arguments of `Octave`; its regularizers by names of
            their own, None leaves one out. None leaves out the octave.
        start: "mean", "noise", "image" or "gray".
        momentum: of the gradient, 0–1.
        noise: mean (null: the model's mean colour) and standard deviation of the noise start, in grey levels.
        parameterization: what the optimizer moves; by default the pixels.
        optimizer: "sgd" or "adam".

    """
    if len(noise) != 2 or noise[1] is None:
        raise MfvError(f"render.noise is {list(noise)}; it is a mean (or null) and a standard deviation")
    return Recipe(
        tuple(_octave(name, settings) for name, settings in octaves.items() if settings is not None),
        start=start,
        momentum=momentum,
        noise=(noise[0], noise[1]),
        parameterization=parameterization or Pixels(),
        optimizer=optimizer,
    )


def _octave(name: str, settings: Mapping[str, Any]) -> Octave:
    unknown = [key for key in settings if key not in _SETTINGS]
    if unknown or "iterations" not in settings:
        wrong = f"has no setting {unknown[0]!r}" if unknown else "lacks its iterations"
        raise MfvError(f"render.octaves.{name} {wrong}; an octave takes {', '.join(_SETTINGS)}")
    chosen = (settings.get("regularizers") or {}).values()
    return Octave(**{**settings, "regularizers": tuple(part for part in chosen if part is not None)})
