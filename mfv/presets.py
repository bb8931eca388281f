"""What a choice of the configuration stands for: a recipe, a method, a network; also where there is no command line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_module
from hydra.errors import HydraException, InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from mfv.config import register
from mfv.errors import MfvError, nearest_names
from mfv.overrides import explained
from mfv.rendering.checks import check_settings
from mfv.signatures import check_arguments

GROUPS = ("render", "discovery", "model", "data")


def preset(group: str, name: str, *settings: str, **named: Any) -> Any:
    """Return what a choice of the command line stands for, as an object: of "render" a recipe.

    Args:
        group: "render" gives a `Recipe`, "discovery" a method of finding facets, "model" a `TargetModel`, "data" an
            `ImageSource`.
        name: the choice: a file of conf/render, and so on.
        *settings: of it, "key=value", or "+key=value" for one that it does not have: as on the command line, but
            without the group's name in front.
        **named: none; what is given here is answered with the way to write it.

    Raises:
        MfvError: there is no such group, choice or key, or a value does not fit.

    Example:
        >>> recipe = mfv.preset("render", "best", "iterations=300")  # render=best render.iterations=300
        >>> mfv.visualize(network, "layer4", 12, images, recipe=recipe)

    """
    if group not in GROUPS:
        near = nearest_names(str(group), GROUPS, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise MfvError(f"there is no group {group!r}; {hint}(there are {', '.join(GROUPS)})")
    wrong = next((setting for setting in settings if not isinstance(setting, str)), None)
    if wrong is not None or named:
        shown = f"{next(iter(named))}=…" if named else repr(wrong)
        raise MfvError(f"{shown}: settings are strings, as mfv.preset({group!r}, {name!r}, 'key=value', 'other.key=3')")
    arguments = [f"{group}={name}", *(_of_group(group, setting) for setting in settings)]
    config = composed(arguments)
    values = {group: resolved(config)[group]}
    if group == "render":
        check_settings(values[group])
    check_arguments(values)
    return make(config[group], group)


def composed(settings: Sequence[str]) -> DictConfig:
    """Return the configuration of some settings, as the command line composes it.

    Raises:
        MfvError: there is no such choice or key, or a setting cannot be read.

    """
    register()
    try:
        with initialize_config_module("conf", version_base="1.3"):
            return compose("config", list(settings))
    except HydraException as error:
        raise MfvError(explained(error, list(settings))) from error


def _of_group(group: str, setting: str) -> str:
    """Return a group's setting as the command line has it: what adds or takes away (+, ++, ~) comes first."""
    key = setting.lstrip("+~")
    return f"{setting[: len(setting) - len(key)]}{group}.{key}"


def make(config: DictConfig, group: str) -> Any:
    """Instantiate a group's `_target_`, and say whose mistake it is where that fails."""
    try:
        if group != "model":
            return instantiate(config, _convert_="all")
        from mfv.models.weights import own_randomness

        with own_randomness():  # an untrained network, too, is the same one in every process and job
            return instantiate(config, _convert_="all")
    except MissingMandatoryValue as error:
        raise _missing(error) from error
    except InstantiationException as error:
        cause = _first_cause(error)
        if isinstance(cause, MfvError):
            raise cause from error
        raise MfvError(f"{group}: {type(cause).__name__}: {cause} (see conf/{group}/ for what it takes)") from error


def resolved(config: DictConfig) -> dict[str, Any]:
    """Return a configuration's values; `MfvError` for one that is missing."""
    try:
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]
    except MissingMandatoryValue as error:
        raise _missing(error) from error


def _missing(error: MissingMandatoryValue) -> MfvError:
    key = str(error.full_key or error.key)
    return MfvError(f"{key} is missing: give it on the command line ({key}=…)")


def _first_cause(error: BaseException) -> BaseException:
    while error.__cause__ is not None and not isinstance(error, MfvError):
        error = error.__cause__
    return error
