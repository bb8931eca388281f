"""What a notebook's call is given, as mfv takes it, with what is said where it does not fit."""

from __future__ import annotations

import operator
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfv.discovery.tsne import TSNEKMeans
from mfv.errors import MfvError
from mfv.evaluation.offline import find_judge
from mfv.experiment import Discovery
from mfv.models.choice import names_several, position_name
from mfv.models.target import TargetModel
from mfv.models.units import check_labels, is_label, resolve_unit, resolve_units
from mfv.presets import preset
from mfv.rendering.fast import fast_recipe
from mfv.rendering.octave import Recipe
from mfv.structures import Unit

Labels = Sequence[str] | Mapping[int, str]
ARGUMENTS = (  # settings as messages name them, and what stands for them in a notebook
    (r"go on without them: data\.max_bad_share=(\S+)", r"go on without them: images=FolderImages(…, max_bad_share=\1)"),
    (r"data\.max_bad_share", "max_bad_share"),
    (r"data\.root", "images"),
    (r"select\.by=(\w+)", r"select='\1'"),
    (r"select\.by", "select"),
    (r"select\.count", "count"),
    (r"\bdiscovery=(\w+)", r"discovery='\1'"),
    (r"any other network of conf/model: model@evaluation\.judge=resnet50", "any other is judge=mfv.TargetModel(…)"),
    (r"model@evaluation\.judge=resnet50", "judge=mfv.TargetModel(…)"),
    (r"evaluation\.judge", "judge"),
    (r"evaluation=auto", "judge='auto'"),
    (r"evaluation=none", "judge=None"),
    (r"machine\.(devices|accelerator)", r"\1"),
    (r"hydra\.run\.dir( \(of a sweep: [^)]*\))?", "directory"),
    (r"store\.root", "store"),
    (r"\+\+model\.labels=names\.txt, one a line", "labels=[…]"),
    (r"\bor null\b", "or None"),
    (r"\brender\.(?!safetensors|ckpt)(\w)", r"the recipe's \1"),
)


@contextmanager
def named_as_arguments() -> Iterator[None]:
    """Let errors within the block name arguments where the command line's settings are named."""
    try:
        yield
    except MfvError as error:
        error.args = (as_arguments(str(error)), *error.args[1:])
        raise


def as_arguments(message: str) -> str:
    """Return a message with `ARGUMENTS` in place of settings."""
    for setting, argument in ARGUMENTS:
        message = re.sub(setting, argument, message)
    return message


def folder(setting: str, place: Any) -> Path | None:
    """Return a folder that is given; one that is certainly not meant is refused."""
    if place is None:
        return None
    if not isinstance(place, str | os.PathLike) or not os.fspath(place):
        raise MfvError(f"{setting} is {place!r}; give a folder's path ('.' for the one that you are in)")
    return Path(place).expanduser()


def whole(value: Any) -> Any:
    """Return a whole number of NumPy's or PyTorch's as one of Python's, and anything else as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def one_unit(model: TargetModel, layer: str, unit: Any, labels: Labels | None) -> list[Unit]:
    """Return the unit of a layer that is asked for; where that are several, none, or them."""
    given = unit[0] if isinstance(unit, list | tuple) and len(unit) == 1 else unit
    if names_several(layer, None):
        return []
    if is_label(model, str(layer), given):  # a class may be called "all", or "0-9"
        check_labels(model, str(layer), labels)
        return [resolve_unit(model, str(layer), given)]
    return [] if names_several(None, given) else units(model, layer, given, labels)


def units(model: TargetModel, layer: str, units: Any, labels: Labels | None) -> list[Unit]:
    """Return the units of a layer that are asked for; an error where the labels that were given are not as many."""
    name, units = str(layer), whole(units)  # of a Sequential's part the name is a number
    if not isinstance(units, str | int | Iterable):
        raise MfvError(f"unit is {units!r}; give a number, a name, or several")
    check_labels(model, name, labels)
    given = [units] if isinstance(units, str | int) else [whole(each) for each in units]
    for each in given:
        if not isinstance(each, str | int):
            raise MfvError(f"a unit is {each!r}; of several give a list of numbers and names: units=[3, 12]")
    return resolve_units(model, name, given)


def recipe(given: Recipe | str | None) -> Recipe:
    """Return the recipe that is given or named; by default `fast_recipe()`."""
    if given is None:
        return fast_recipe()
    found = _preset("recipe", "render", given) if isinstance(given, str) else given
    if not isinstance(found, Recipe):
        raise MfvError(f"recipe is {given!r}; give a `Recipe`, as mfv.fast_recipe(), or a preset's name: recipe='best'")
    return found


def discovery(given: Discovery | str | None) -> Discovery:
    """Return the method that is given or named; by default the paper's."""
    if given is None:
        return TSNEKMeans()
    method: Discovery = _preset("discovery", "discovery", given) if isinstance(given, str) else given
    if isinstance(method, type):
        raise MfvError(f"discovery is {given!r}; give an object of it, as {method.__name__}()")
    if not callable(method):
        raise MfvError(f"discovery is {given!r}; give a method of mfv.discovery, or a preset's name: 'consensus'")
    return method


def _preset(argument: str, group: str, name: str) -> Any:
    """Return a preset by its name; an error names the argument in place of the command line's setting."""
    try:
        return preset(group, name)
    except MfvError as error:
        raise MfvError(str(error).replace(f"{group}={name}", f"{argument}={name!r}", 1)) from None


def judge(given: Any, model: TargetModel) -> TargetModel | None:
    """Return the second network that is given or named; None for none."""
    if isinstance(given, nn.Module) and not isinstance(given, TargetModel):
        raise MfvError(
            f"judge is a {type(given).__name__}; say how it is shown pictures and what its classes are called: "
            "judge=mfv.TargetModel(network, input_size=224, labels=…), or give 'auto'"
        )
    return find_judge(given, model)


def target(network: nn.Module, settings: Mapping[str, Any]) -> TargetModel:
    """Return a network with what is said of it; one that brings it along as it is."""
    if not isinstance(network, TargetModel):
        return TargetModel(network, name=type(network).__name__.lower(), **settings).to(torch.device("cpu"))
    if settings:
        names = ", ".join(settings)
        raise MfvError(f"{names}: a TargetModel ({network.name}) brings its own; give `network.network` with yours")
    return network


def place(position: Any) -> str | None:
    """Return where a unit's value is read, in a configuration's words; its numbers may be NumPy's or PyTorch's."""
    given = [whole(each) for each in position] if isinstance(position, list | tuple) else whole(position)
    return position_name(given)
