"""What is wrong with a command line that Hydra does not take: the key, those that there are, and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf

import conf
from mfv.errors import MfvError, nearest_names

SEVERAL = ("layer", "unit", "position")
KINDS = {"Integer": "a whole number", "Float": "a number", "Boolean": "true or false", "String": "a text"}


def explained(error: HydraException, arguments: Sequence[str]) -> str:
    """Return what a user is told of a command line's error, where Hydra names no remedy.

    Args:
        error: what Hydra raised.
        arguments: of the command line.

    """
    message = str(error).strip()
    if isinstance(error, MissingConfigException) and error.missing_cfg_file and error.options:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        return no_choice(group, choice, error.options)
    if isinstance(error, OverrideParseException):
        return unreadable(error.override, message)
    if found := re.match(r"Ambiguous value for argument '((.*?)=(.*))'", message):
        given, key, values = found.groups()
        if (Path(conf.__file__).parent / key.partition("@")[0]).is_dir():
            return f"{given}: several choices of {key} are a sweep of jobs, with -m in front"
        sweep = "a sweep of jobs, with -m in front"
        if not takes_several(key, _composed(arguments, key)):
            return f"{given}: several values of {key} are {sweep}"
        return f"{given}: several values are {key}=[{values}] in one job, or {sweep}"
    if re.match("Could not override 'experiment'", message):
        given = next((word for word in arguments if word.startswith("experiment=")), "experiment")
        return f"{given}: an experiment is a file of one's own, experiment/NAME.yaml in the folder of --config-dir"
    if found := re.match(r"Could not (?:override|delete from config\.) '([^']*)'", message):
        return no_name(arguments) or no_key(found[1], _composed(arguments, found[1]))
    if found := re.match(r"Error merging override (?:\+\+)?([^=]*)=(.*)", message):
        return wrong_value(found[1], found[2], error.__cause__, _composed(arguments, found[1]))
    return f"{message}\n{error.__cause__}" if error.__cause__ and not message else message


def no_name(arguments: Sequence[str]) -> str | None:
    """Return the message for a group whose choice is no name (null, true, a number); None where all are."""
    for word in arguments:
        key, _, value = word.lstrip("+~").partition("=")
        group = key.partition("@")[0]
        if not value or not (Path(conf.__file__).parent / group).is_dir():
            continue
        for choice in [value] if set(value) & set("[{('\"") else value.split(","):  # of a sweep several
            if not isinstance(_value(choice), str | list):
                return no_choice(key, choice, _choices(group))
    return None


def no_choice(group: str, choice: str, options: Sequence[str]) -> str:
    """Return the message for a choice that a group does not have."""
    near = [each for each in options if each == "none"] if choice == "null" else nearest_names(choice, options, 3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"{group}={choice}: there is no such choice{hint} (there are {', '.join(options)})"


def no_key(key: str, config: Mapping[str, Any] | None) -> str:
    """Return the message for a key that the configuration does not have."""
    if config is None:
        return f"{key}: there is no such key (python run.py --cfg job shows all)"
    place: Any = config
    known: list[str] = []
    *parents, last = key.split(".")
    for parent in parents:
        if not isinstance(place, Mapping) or parent not in place:
            last = parent
            break
        place = place[parent]
        known.append(parent)
    prefix = "".join(f"{each}." for each in known)
    if not isinstance(place, Mapping):
        return f"{key}: {'.'.join(known)} is {place!r} and has no keys"
    if isinstance(own := place.get(last), Mapping) and len(known) == len(parents):  # a setting in it is not there
        return f"{key}: {holding(key, own)}"
    names = [str(name) for name in place if not str(name).startswith("_")]
    near = [prefix + name for name in (names if len(names) == 1 else nearest_names(last, names))]
    if not known:  # it may be the key of a group
        near = [name for name in _dotted(config) if name.rpartition(".")[2] == last] + near
    elif others := choices_with(known[0], key.partition(".")[2]):
        near = [f"{key} of {' or '.join(f'{known[0]}={other}' for other in others)}", *near]
    hint = f"; did you mean {', or '.join(near[:3])}?" if near else ""
    where = f"{'.'.join(known)} has" if known else "there are"
    return f"{prefix}{last}: there is no such key{hint} ({where} {', '.join(names)})"


def holding(key: str, settings: Mapping[str, Any]) -> str:
    """Return what is said of a key that holds settings with names, where it was given something else."""
    names = [f"{key}.{name}=…" for name in settings if not str(name).startswith("_")]
    there = f"; give the one that you mean: {', '.join(names)}" if names else ", none so far"
    return f"{key} holds several settings{there}; another is added by +{key}.NAME=…"


def takes_several(key: str, config: Mapping[str, Any] | None) -> bool:
    """Say whether one job takes several values of a key: units, layers, a place in the map, and what is a list."""
    value: Any = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return key in SEVERAL or isinstance(value, list)


def choices_with(group: str, key: str) -> list[str]:
    """Return which of a group's choices have a key: "root" of "data" is one of "folder" and "imagenet"."""
    folder = Path(conf.__file__).parent / group
    settings = {name: OmegaConf.to_container(OmegaConf.load(folder / f"{name}.yaml")) for name in _choices(group)}
    return [name for name, own in settings.items() if _has(own, key)]


def _choices(group: str) -> list[str]:
    return sorted(file.stem for file in (Path(conf.__file__).parent / group).glob("*.yaml"))


def _value(written: str) -> Any:
    """Return a setting's value as it is read; the text itself where that is not possible."""
    try:
        return OmegaConf.to_container(OmegaConf.from_dotlist([f"value={written}"]))["value"]  # type: ignore[index, call-overload]
    except Exception:  # a sweep's "a,b", or something that the command line's own grammar reads
        return written


def _has(config: Any, key: str) -> bool:
    for part in key.split("."):
        if not isinstance(config, Mapping) or part not in config:
            return False
        config = config[part]
    return True


def wrong_value(key: str, value: str, cause: BaseException | None, config: Mapping[str, Any] | None) -> str:
    """Return the message for a value that a key does not take."""
    default: Any = config
    for part in key.split("."):
        if not isinstance(default, Mapping):
            return no_key(key, config)
        default = default.get(part)
    if isinstance(default, Mapping):
        return f"{key}={value}: {holding(key, default)}"
    reason = str(cause).strip().splitlines()[0] if cause else "it does not fit"
    if found := re.search(r"could not be converted to (\w+)", reason):
        return f"{key}={value}: it is {KINDS.get(found[1], found[1])}; by default {_written(default)}"
    return f"{key}={value}: {reason}"


def unreadable(given: str, reason: str) -> str:
    """Return the message for a word of the command line that is no setting."""
    if "=" not in given:
        return (
            f"{given!r} is no setting: settings are KEY=VALUE, and a value with a space is quoted, unit='bell pepper'"
        )
    key, _, value = given.partition("=")
    reason = reason.splitlines()[0]
    return (
        f"{given}: cannot be read ({reason}). A list is {key}=[a,b]; a text with commas, brackets or quotes is quoted "
        f"twice: '{key}=\"{value}\"'"
    )


def check_choices(choices: Mapping[str, str | None]) -> None:
    """Raise `MfvError` for a choice that is not there in a group that may be left out: Hydra passes over it."""
    if not GlobalHydra.instance().is_initialized():  # a sweep's job that is elsewhere
        return
    for key, choice in choices.items():
        group = key.partition("@")[0]
        if choice is not None and ("@" in key or key == "experiment") and not group.startswith("hydra"):
            options = GlobalHydra.instance().config_loader().get_group_options(group)
            if choice not in options:
                raise MfvError(no_choice(key, choice, options))


def _written(value: Any) -> str:
    return "null" if value is None else str(value)


def _dotted(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in config.items():
        names.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            names += _dotted(value, f"{prefix}{key}.")
    return names


def _composed(arguments: Sequence[str], wrong: str) -> dict[str, Any] | None:
    """Return the configuration of the command line without the settings of a key; None where that is wrong too.

    What sweeps is left out as well: no key depends on it but a group's, whose first choice is taken.
    """
    settings = [word for word in arguments if "=" in word and not word.startswith("-")]
    kept = [_first(word) for word in settings if word.lstrip("+~").partition("=")[0] != wrong]
    kept = [word for word in kept if not word.lstrip("+~").startswith("hydra")]
    folder = _config_dir(arguments)
    if folder is not None:
        kept.append(f"hydra.searchpath=[file://{folder}]")
    with_hydra = wrong.startswith("hydra.")
    try:
        with initialize_config_module("conf", version_base="1.3"):
            config = compose("config", kept, return_hydra_config=with_hydra)
    except (ConfigCompositionException, OverrideParseException):
        return None
    assert isinstance(config, DictConfig)
    return OmegaConf.to_container(config, resolve=False)  # type: ignore[return-value]


def _first(setting: str) -> str:
    """Return a group's setting with the first of several choices, and any other as it is."""
    key, _, value = setting.partition("=")
    return setting if "[" in value or "(" in value or "'" in value or '"' in value else f"{key}={value.split(',')[0]}"


def _config_dir(arguments: Sequence[str]) -> str | None:
    for place, word in enumerate(arguments):
        if word in ("--config-dir", "-cd") and place + 1 < len(arguments):
            return arguments[place + 1]
        if word.startswith("--config-dir="):
            return word.partition("=")[2]
    return None
