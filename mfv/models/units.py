"""A unit by its number, its class's label, or its class's synset."""

from collections.abc import Sequence

import torch

from mfv.errors import MfvError
from mfv.models.choice import unit_names
from mfv.models.naming import OUTPUT, PROB, LayerUnits
from mfv.models.target import TargetModel
from mfv.structures import Unit


def unit_count(model: TargetModel, layer: str) -> int:
    """Return how many units a layer has: neurons, channels, or features of a token, by a forward pass.

    Raises:
        MfvError: there is no such layer, or what it gives has no units.

    """
    pixels = torch.zeros(1, 3, model.input_size, model.input_size).to(model.mean)
    try:
        with torch.no_grad():
            activation = model.activations(pixels, [layer])[layer]
    except MfvError:
        raise
    except Exception as error:  # networks have their own ways to refuse a size
        size = f"3 × {model.input_size} × {model.input_size} (input_size={model.input_size})"
        reason = str(error) or type(error).__name__
        raise MfvError(f"{model.name} cannot be run on an image of {size}: {reason}") from error
    if activation.ndim not in (2, 3, 4):
        raise MfvError(f"layer {layer!r} of {model.name} gives {tuple(activation.shape)}: no units can be told apart")
    return activation.shape[1] if activation.ndim == 4 else activation.shape[-1]


def resolve_unit(model: TargetModel, layer: str, unit: int | str, count: int | None = None) -> Unit:
    """Return a layer's unit for its number (582, "582"), label ("grocery store") or synset ("n03461385").

    Labels and synsets name units of output layers only. `count` is how many units the layer has, where that is known.

    Raises:
        MfvError: there is no such layer or unit, or several classes have the name (`LayerUnits.index`).

    """
    layer = model.canonical(layer)
    count = unit_count(model, layer) if count is None else count
    named = model.is_output(layer)
    units = LayerUnits(
        model.name, layer, count, model.labels, model.synsets, class_layer=None if named else _class_layer(model)
    )
    index = units.index(unit)
    label = model.labels[index] if named and len(model.labels) == count else None
    return Unit(model=model.name, layer=layer, index=index, label=label)


def resolve_units(model: TargetModel, layer: str, unit: int | str | Sequence[int | str]) -> list[Unit]:
    """Return the units of a layer that a configuration names, one as `resolve_unit` takes it or several, each once.

    Raises:
        MfvError: there is no such layer or unit, or several classes have the name (`LayerUnits.index`).

    """
    count = unit_count(model, layer)
    names = unit_names(unit, count, model.labels if model.is_output(layer) else ())
    return list(dict.fromkeys(resolve_unit(model, layer, each, count) for each in names))


def check_labels(model: TargetModel, layer: str, given: object) -> None:
    """Raise `MfvError` where labels were given, but not as many as the classes, whose units a layer's may be."""
    classes = next((name for name in (layer, OUTPUT) if model.is_output(name)), None)
    if given is None or classes is None:
        return
    count = unit_count(model, classes)
    if len(model.labels) != count:
        place = f"in layer {classes!r}" if classes else "in the output"
        raise MfvError(f"there are {len(model.labels)} labels, but {count} units {place}: give one for each")


def is_label(model: TargetModel, layer: str, unit: object) -> bool:
    """Say whether this is, to the letter, the label of a unit of the layer."""
    return isinstance(unit, str) and unit in model.labels and model.is_output(layer)


def _class_layer(model: TargetModel) -> str:
    return next((layer for layer in reversed(model.layers()) if model.is_output(layer)), PROB)
