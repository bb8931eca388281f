"""What a recipe's numbers and words may be. Nothing here needs PyTorch, so that a mistake is answered at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mfv import schedules
from mfv.errors import MfvError, check_count
from mfv.signatures import nodes

AUTO = "auto"
STARTS = ("mean", "contrast", "noise", "image", "gray")
OPTIMIZERS = ("sgd", "adam")
SCHEMES = ("reference", "intended")  # of the paper's schedules
NOISE = (175.0, 8.0)
SCHEDULES = f"{schedules.__name__}."
OWN = ("one_octave_recipe", "octaves_recipe", "paper_recipe")  # what makes the recipes that are known here


def check_octave(iterations: Any, step: Any = 1.0, scale: Any = 1.0, of: str = "an octave's ") -> None:
    """Raise `MfvError` where an octave cannot have such a number of steps, step or scale.

    Args:
        iterations: steps.
        step: grey levels, or a schedule.
        scale: the canvas's side over the network's input.
        of: what the settings' names begin with, for the message.

    """
    check_count(f"{of}iterations", iterations, 1, "steps")
    if not is_number(step) and not isinstance(step, schedules.Schedule):
        raise MfvError(f"{of}step is {step!r}; it is a number of grey levels, or a schedule")
    if not is_number(scale) or scale < 1:
        raise MfvError(f"{of}scale is {scale!r}; the canvas cannot be smaller than the input: use a number from 1 up")


def check_recipe(
    start: Any = "mean",
    noise: Any = NOISE,
    optimizer: Any = "sgd",
    momentum: Any = 0.0,
    average: Any = 0.0,
    batch_size: Any = AUTO,
) -> None:
    """Raise `MfvError` where a recipe cannot have such a setting (`Recipe`)."""
    if start not in STARTS:
        raise MfvError(f"render.start is {start!r}; it is one of {', '.join(STARTS)}")
    if optimizer not in OPTIMIZERS:
        raise MfvError(f"render.optimizer is {optimizer!r}; it is {' or '.join(OPTIMIZERS)}")
    if not is_number(momentum) or not 0 <= momentum < 1:
        raise MfvError(f"render.momentum is {momentum!r}; it is at least 0 and below 1")
    pair = isinstance(noise, Sequence) and not isinstance(noise, str) and len(noise) == 2
    if not pair or not is_number(noise[1]) or not (noise[0] is None or is_number(noise[0])):
        raise MfvError(f"render.noise is {noise!r}; it is a mean (or null) and a standard deviation")
    if not is_number(average) or not 0 <= average <= 1:
        raise MfvError(f"render.average is {average!r}; it is a share of the steps, from 0 to 1")
    check_count("render.batch_size", batch_size, 1, "images", AUTO)


def check_scheme(scheme: Any) -> None:
    """Raise `MfvError` where there is no such reading of the paper's schedules."""
    if scheme not in SCHEMES:
        raise MfvError(f"render.scheme is {scheme!r}; it is one of {', '.join(SCHEMES)}")


def check_settings(render: Mapping[str, Any]) -> None:
    """Raise `MfvError` for a recipe's settings, as YAML gives them, that cannot be: as far as can be said at once.

    Schedules are looked at wherever they stand; numbers and words of recipes that mfv makes itself.
    """
    for place, node in nodes(render, "render"):
        target = str(node.get("_target_", ""))
        if target.startswith(SCHEDULES):
            _check_schedule(place, target.removeprefix(SCHEDULES), node)
    maker = str(render.get("_target_", "")).rpartition(".")[2]
    if maker not in OWN:
        return
    check_recipe(**{key: render[key] for key in check_recipe.__annotations__ if key in render and key != "return"})
    if maker == "one_octave_recipe":
        _check_octave("render.", render)
    elif maker == "octaves_recipe":
        for name, octave in render["octaves"].items():
            if isinstance(octave, Mapping) and "iterations" in octave:
                _check_octave(f"render.octaves.{name}.", octave)
    else:
        check_scheme(render.get("scheme", SCHEMES[0]))


def is_number(value: Any) -> bool:
    """Say whether a setting is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_octave(of: str, settings: Mapping[str, Any]) -> None:
    given = {key: settings[key] for key in ("iterations", "step", "scale") if key in settings}
    if isinstance(given.get("step"), Mapping):  # a schedule, which is looked at by itself
        del given["step"]
    check_octave(**given, of=of)


def _check_schedule(place: str, kind: str, settings: Mapping[str, Any]) -> None:
    make = getattr(schedules, kind, None)
    if make is None:
        return  # the error of a name that is not there is Hydra's
    try:
        make(**{key: value for key, value in settings.items() if not key.startswith("_")})
    except MfvError as error:
        raise MfvError(f"{place}: {error}") from None
    except TypeError:
        return  # as is that of an argument that is not
