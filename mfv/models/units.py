"""How a unit is named: by its number, its class's label, or its class's synset."""

import re
from collections.abc import Iterable

import torch

from mfv.errors import MfvError, nearest_names
from mfv.models import imagenet
from mfv.models.target import PROB, TargetModel
from mfv.structures import Unit

NEAR = 10  # classes that an error names
_SYNSET = re.compile(r"n\d{8}")


def unit_count(model: TargetModel, layer: str) -> int:
    """Return how many units a layer has: neurons, channels, or features of a token, by a forward pass.

    Raises:
        MfvError: there is no such layer, or what it gives has no units.

    """
    pixels = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    with torch.no_grad():
        activation = model.activations(pixels, [layer])[layer]
    if activation.ndim not in (2, 3, 4):
        raise MfvError(f"layer {layer!r} of {model.name} gives {tuple(activation.shape)}: no units can be told apart")
    return activation.shape[1] if activation.ndim == 4 else activation.shape[-1]


def resolve_unit(model: TargetModel, layer: str, unit: int | str) -> Unit:
    """Return a layer's unit for its number (582, "582"), label ("grocery store") or synset ("n03461385").

    Labels and synsets name units of output layers only. A label must be the whole one; upper and lower
    case, "_" and " " are the same in it.

    Raises:
        MfvError: there is no such layer or unit, or several classes have the name; the message has the
            nearest ones with their numbers.

    """
    layer = model.canonical(layer)
    count = unit_count(model, layer)
    named = model.is_output(layer)
    text = str(unit).strip()
    if re.fullmatch(r"[+-]?\d+", text):
        index = int(text)
        if not 0 <= index < count:
            raise MfvError(f"unit={unit}: layer {_shown(layer)} of {model.name} has {count} units, 0–{count - 1}")
    elif not named:
        raise MfvError(
            f"unit={unit}: units of layer {_shown(layer)} of {model.name} have no names; "
            f"give a number, 0–{count - 1} (names are for classes: layer={_class_layer(model)})"
        )
    else:
        index = _class_index(model, text)
        if index >= count:
            raise MfvError(
                f"unit={unit} is class {index} of {len(model.labels or model.synsets)}, "
                f"but layer {_shown(layer)} of {model.name} has only {count} units"
            )
    label = model.labels[index] if named and len(model.labels) == count else None
    return Unit(model=model.name, layer=layer, index=index, label=label)


def _class_index(model: TargetModel, name: str) -> int:
    if _SYNSET.fullmatch(name):
        if name in model.synsets:
            return model.synsets.index(name)
        known = "has no synsets" if not model.synsets else "has no class of that synset"
        raise MfvError(f"unit={name}: {model.name} {known}; give a number or a label")
    if not model.labels:
        raise MfvError(f"unit={name}: {model.name} has no labels; give a number (or model.labels, a text file)")
    wanted = _plain(name)
    plain = [_plain(label) for label in model.labels]
    found = [index for index, label in enumerate(plain) if label == wanted]
    if model.labels == imagenet.labels() and wanted in imagenet.HOMONYMS:
        found = list(imagenet.HOMONYMS[wanted])
    if len(found) == 1:
        return found[0]
    if found:
        raise MfvError(
            f"unit={name} names {len(found)} classes of {model.name}: {_listed(model, found)}; give a number"
        )
    shown = _listed(model, _near(wanted, plain)[:NEAR])
    hint = f"did you mean {shown}?" if shown else "give a number"
    raise MfvError(f"unit={name} is no class of {model.name}; {hint}")


def _near(wanted: str, labels: list[str]) -> list[int]:
    """Return the classes whose label contains the name, then those that share a word, then similar ones."""
    words = set(wanted.split())
    similar = nearest_names(wanted, labels)
    kinds = (
        [index for index, label in enumerate(labels) if wanted in label],
        [index for index, label in enumerate(labels) if words & set(label.split())],
        [index for index, label in enumerate(labels) if label in similar],
    )
    return list(dict.fromkeys(index for kind in kinds for index in kind))


def _listed(model: TargetModel, indexes: Iterable[int]) -> str:
    described = []
    for index in indexes:
        synset = f", {model.synsets[index]}" if model.synsets else ""
        described.append(f"{index} ({model.labels[index]}{synset})")
    return ", ".join(described)


def _class_layer(model: TargetModel) -> str:
    return next((layer for layer in reversed(model.layers()) if model.is_output(layer)), PROB)


def _plain(label: str) -> str:
    return " ".join(label.casefold().replace("_", " ").split())


def _shown(layer: str) -> str:
    return repr(layer) if layer else "the output"
