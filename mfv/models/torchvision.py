"""Torchvision's classifiers as models under study."""

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn
from torchvision import models

from mfv.errors import MfvError, nearest_names
from mfv.models import imagenet
from mfv.models.labels import read_labels
from mfv.models.target import TargetModel
from mfv.models.weights import build, find_checkpoint, is_none, is_path, load_into, load_state

_WITH_AUXILIARY = {
    "googlenet": ("aux1", "aux2"),
    "inception_v3": ("AuxLogits",),
}  # heads that serve training only

logger = logging.getLogger("mfv")


def torchvision_model(
    name: str,
    weights: str | None = "IMAGENET1K_V1",
    *,
    num_classes: int | None = None,
    labels: Sequence[str] | str | Path | None = None,
    aliases: Mapping[str, str] | None = None,
    code_layer: str | None = None,
    anchor_layer: str | None = None,
    default_layer: str | None = None,
    default_unit: int | str = 0,
    transform_input: bool | None = None,
) -> TargetModel:
    """Return one of torchvision's classifiers, with the pixel statistics and sizes it was trained for.

    Args:
        name: torchvision's name of the network, for example "resnet50".
        weights: which of torchvision's weights ("IMAGENET1K_V1", "DEFAULT" …), the path of a checkpoint,
            or "none" for an untrained network.
        num_classes: of a checkpoint of your own; by default ImageNet's 1000.
        labels: its class names, or a text file with one a line; by default ImageNet's where there are 1000.
        aliases: other names for layers.
        code_layer: see TargetModel, as for the three that follow.
        anchor_layer: see TargetModel.
        default_layer: see TargetModel.
        default_unit: see TargetModel.
        transform_input: of GoogLeNet and Inception v3, whether pixels are scaled inside to (x − ½) / ½, as their
            published weights expect; by default they are. A checkpoint does not tell whether it was trained with that:
            torchvision leaves it out of networks that are built without weights.

    Raises:
        MfvError: torchvision has no such network or weights, or the weights cannot be found or loaded; or
            `transform_input` is given for another network.

    """
    published = _published_weights(name)
    if transform_input is not None and name not in _WITH_AUXILIARY:
        raise MfvError(f"model.transform_input is {transform_input}; of {' and '.join(_WITH_AUXILIARY)}, not of {name}")
    trained = not is_none(weights)
    classes = imagenet.CLASSES if num_classes is None else num_classes
    entry = _entry(name, str(weights), published)
    network: nn.Module
    if trained:
        path = find_checkpoint(entry.url, str(weights))
        state = load_state(path)
        if name.startswith("densenet"):
            state = {_modern_densenet(key): tensor for key, tensor in state.items()}
        has_auxiliary = any(key.startswith(_WITH_AUXILIARY.get(name, ())) for key in state)
        if transform_input is None and name in _WITH_AUXILIARY and not _is_published(path, published):
            logger.warning(
                "%s: pixels are scaled inside (transform_input), as in torchvision's %s with published weights; of a "
                "network that was built without any, give model.transform_input=false", path.name, name,
            )  # fmt: skip
        network = build(lambda: _network(name, classes, trained, has_auxiliary, transform_input), trained)
        load_into(network, state, path)
    else:
        network = build(lambda: _network(name, classes, trained, False, transform_input), trained)
    _drop_auxiliary(name, network)
    preset = entry.transforms()
    known = classes == imagenet.CLASSES and labels is None
    return TargetModel(
        network,
        name=name,
        input_size=preset.crop_size[0],
        mean=preset.mean,
        std=preset.std,
        labels=entry.meta["categories"] if known else read_labels(labels),
        synsets=imagenet.synsets() if known else None,
        aliases=aliases,
        code_layer=code_layer,
        anchor_layer=anchor_layer,
        default_layer=default_layer,
        default_unit=default_unit,
    )


def _published_weights(name: str) -> Mapping[str, Any]:
    known = models.list_models(module=models)
    if name not in known:
        near = nearest_names(name, known)
        hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(known)}"
        raise MfvError(f"torchvision has no classifier {name!r}; {hint}")
    return models.get_model_weights(name).__members__


def _entry(name: str, weights: str, published: Mapping[str, Any]) -> Any:
    """Return the published weights that are meant; for a file, those it is, or else the first."""
    if weights in published:
        return published[weights]
    if is_none(weights) or is_path(weights):
        same_file = [entry for entry in published.values() if entry.url.endswith("/" + Path(weights).name)]
        return next(iter(same_file or published.values()))
    raise MfvError(
        f"{name} has no weights {weights!r}: torchvision publishes {', '.join(published)}; "
        "a path ending in .pth or .safetensors, and none, are possible too"
    )


def _is_published(path: Path, published: Mapping[str, Any]) -> bool:
    return any(entry.url.endswith("/" + path.name) for entry in published.values())


def _network(name: str, num_classes: int, trained: bool, auxiliary: bool, transform_input: bool | None) -> nn.Module:
    options: dict[str, Any] = {"num_classes": num_classes}
    if name in _WITH_AUXILIARY:  # their published weights expect pixels scaled inside, to (x − .5) / .5
        scaled = transform_input is not False
        options |= {"aux_logits": auxiliary, "init_weights": not trained, "transform_input": scaled}
    return models.get_model(name, weights=None, **options)


def _drop_auxiliary(name: str, network: nn.Module) -> None:
    for head in _WITH_AUXILIARY.get(name, ()):
        setattr(network, head, None)
    if name in _WITH_AUXILIARY:
        network.aux_logits = False  # type: ignore[assignment]


def _modern_densenet(key: str) -> str:
    """Rename a tensor of the published DenseNets, which are older than the code: "norm.1" is now "norm1"."""
    return re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)", r"\1\2", key)
