"""What layers a network has, and what they give."""

from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mfv.activations.hooks import NotATensor, first_tensor
from mfv.errors import MfvError
from mfv.models.naming import OUTPUT, PROB
from mfv.models.target import TargetModel, channels_first


@dataclass(frozen=True)
class Layer:
    """A layer, as one forward pass shows it."""

    name: str
    aliases: tuple[str, ...]
    kind: str  # the type of its module
    shape: tuple[int, ...] | None  # of what it gives, without the batch; None where the pass does not call it
    units: int | None  # channels of a map, neurons of a vector, features of a token; None where there are none


def describe_layers(model: TargetModel) -> list[Layer]:
    """Return the network's layers in its own order, the softmax of its output ("prob") last.

    Raises:
        MfvError: the network does not take an image of its input size.

    """
    shapes: dict[str, tuple[int, ...]] = {}
    pixels = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    with ExitStack() as hooks, torch.no_grad():
        for name, module in model.network.named_modules():
            hooks.enter_context(module.register_forward_hook(_recorder(name, shapes)))
        try:
            model(pixels)
        except Exception as error:
            size = " × ".join(map(str, pixels.shape[1:]))
            raise MfvError(f"{model.name} cannot be run on an image of {size}: {error}") from error
    layers = [_layer(model, name, kind, shapes.get(name)) for name, kind in model.layers().items()]
    if len(shapes.get(OUTPUT, ())) == 1:
        layers.append(_layer(model, PROB, "softmax", shapes[OUTPUT]))
    return layers


def _layer(model: TargetModel, name: str, kind: str, shape: tuple[int, ...] | None) -> Layer:
    aliases = tuple(alias for alias, layer in model.aliases.items() if layer == name)
    units = None
    if shape is not None and len(shape) in (1, 2, 3):
        units = shape[0] if len(shape) == 3 else shape[-1]
    return Layer(name, aliases, kind, shape, units)


def _recorder(name: str, shapes: dict[str, tuple[int, ...]]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        try:
            tensor = first_tensor(name, output)
        except NotATensor:
            return
        shapes.setdefault(name, tuple(channels_first(tensor).shape[1:]))

    return hook
