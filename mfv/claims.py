"""What a folder's results were begun with, so that another call does not take them for its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mfv.data.source import ImageSource
from mfv.errors import MfvError
from mfv.experiment import Experiment
from mfv.models.fingerprint import network_fingerprint
from mfv.models.target import TargetModel
from mfv.structures import Unit, holds_results, write_json

BEGUN = "experiment.json"
INPUTS = "inputs.json"
MODEL = ("labels", "synsets", "input_size", "resize", "code_layer", "anchor_layer")  # what else is known of a network

logger = logging.getLogger("mfv")


def claim(directory: Path, experiment: Experiment, unit: Unit | None = None) -> None:
    """Write down what is asked for in a folder, as the command line does by its config.yaml (`mfv.pipeline.claim`).

    Args:
        directory: of the results; made where it is not there.
        experiment: what is asked of each unit.
        unit: the only one; None for a job of several, which may grow.

    Raises:
        MfvError: results of something else are there; the message names what differs.

    """
    directory.mkdir(parents=True, exist_ok=True)
    path, asked = directory / BEGUN, _asked(experiment, unit)
    if holds_results(directory):
        if not path.exists():
            raise MfvError(f"{directory} holds results of a run that was begun otherwise: choose another directory")
        known = json.loads(path.read_text(encoding="utf-8"))
        since = {name for name in MODEL if name not in known}  # an older version did not write these down
        changed = sorted(name for name in {*known, *asked} - since if known.get(name) != asked.get(name))
        if changed:
            raise MfvError(
                f"{directory} holds the results of another call (it differs in {', '.join(changed)}): "
                "choose another directory, or repeat the call that they were begun with"
            )
    write_json(path, asked)


def claim_inputs(directory: Path, model: TargetModel, source: ImageSource) -> None:
    """Write down which network and images a folder's results are made of, beside the settings that only name them.

    Raises:
        MfvError: results of another network are there, as when a checkpoint has been replaced meanwhile. Other images
            are only warned of: files that were copied have other times.

    """
    path = directory / INPUTS
    given = {"network": network_fingerprint(model), "images": source.fingerprint}
    if path.exists() and holds_results(directory):
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["network"] != given["network"]:
            raise MfvError(
                f"{directory} holds results of another network: with the same settings, its weights or its code have "
                "changed since. Choose another hydra.run.dir (of a sweep: hydra.sweep.dir), or bring them back"
            )
        if known["images"] and given["images"] and known["images"] != given["images"]:
            logger.warning(
                "%s was begun with other images (files are added, removed or changed since): what it has found stays",
                directory,
            )
    elif not holds_results(directory):  # those of a version that did not write it down are taken as they are
        write_json(path, given)


def _asked(experiment: Experiment, unit: Unit | None) -> dict[str, Any]:
    source = experiment.source
    recipe = {name: value for name, value in described(experiment.recipe).items() if name != "batch_size"}
    return {
        "layer": unit and unit.layer,
        "unit": unit and unit.index,
        "facets": experiment.facets,
        "seed": experiment.seed,
        "position": described(experiment.position),
        "network": network_fingerprint(experiment.model),
        "images": source.fingerprint or f"{len(source)} of {source.name}",
        "discovery": described(experiment.discovery),
        "recipe": recipe,
        "select and count": described(experiment.selection),
        "refinement": described(experiment.refinement),
        "exemplars": experiment.exemplar_count,
        **{name: _of_model(getattr(experiment.model, name)) for name in MODEL},
    }


def _of_model(value: Any) -> Any:
    """Return a setting of the network; of names, which may be thousands, a hash."""
    if not isinstance(value, tuple):
        return value
    return f"{len(value)} {hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]}"


def described(value: Any) -> Any:
    """Return what a setting is, for JSON: the same for equal settings in any process.

    Of objects their class, with a dataclass's fields or a module's own attributes; of tensors and arrays a hash.
    """
    if isinstance(value, np.generic):
        return described(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.ascontiguousarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)
        return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"
    if isinstance(value, Mapping):
        return {str(name): described(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [described(each) for each in value]
    if isinstance(value, partial):
        return {"of": described(value.func), "with": described(value.args), "and": described(value.keywords)}
    named = value if hasattr(value, "__qualname__") else type(value)  # a function or class, or an object of one
    name = {"class": f"{named.__module__}.{named.__qualname__}"}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return name | {field.name: described(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, nn.Module):
        own = {key: each for key, each in vars(value).items() if not key.startswith("_") and key != "training"}
        parts = {**dict(value.named_children()), **dict(value.named_buffers()), **dict(value.named_parameters())}
        return name | {key: described(each) for key, each in {**own, **parts}.items()}
    return name
