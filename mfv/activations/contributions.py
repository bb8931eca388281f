"""What each unit of the layer below adds to a unit's value."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfv.activations.values import unit_value
from mfv.errors import MfvError
from mfv.models.naming import INPUT_SUFFIX, OUTPUT, PROB
from mfv.models.preparation import foldable
from mfv.models.target import TargetModel

BATCH = 32
_PLACES = {4: (2, 3), 3: (1,)}  # dimensions of an activation that are places, by their number


def made_of(model: TargetModel, layer: str) -> str:
    """Return the name of what a layer's units are made of: what it is given, as "name:in".

    A batch norm only scales what its convolution gives: what counts is what that is given. The output stands for the
    last linear layer.
    """
    layer = model.canonical(layer)
    if layer in (OUTPUT, PROB):
        layer = model.last_linear()
    if not layer or layer.endswith(INPUT_SUFFIX):
        raise MfvError(
            f"discovery=attribution asks which units a unit is made of, and layer {layer!r} of {model.name} is made by "
            "no single layer: give the layer that makes it, or take another discovery (tsne, consensus)"
        )
    before = {norm: convolution for convolution, *_, norm in foldable(model.network)}
    return before.get(layer, layer) + INPUT_SUFFIX


def contributions(model: TargetModel, layer: str, index: int, position: str | None, windows: Tensor) -> np.ndarray:
    """Return what each unit below adds to a unit's value on each image: activation × gradient, over its map or tokens.

    Args:
        model: the network; frozen.
        layer: the unit's.
        index: the unit's, in its layer.
        position: where in a map its value is read.
        windows: (n, 3, S, S) uint8, the images as the network is shown them.

    Returns:
        (n, d) float32, d the number of units (channels) of the layer below.

    Raises:
        MfvError: the layer is what another is given ("name:in"), or the output of a network without a last layer.

    """
    below, found = made_of(model, layer), []
    for batch in windows.split(BATCH):
        pixels = batch.to(model.mean.device).float().div_(255).requires_grad_(True)
        with torch.enable_grad():
            activations = model.activations(pixels, [below, layer])
            value = unit_value(activations[layer], index, position)
            (gradient,) = torch.autograd.grad(value.sum(), activations[below])
        product = activations[below].detach() * gradient
        found.append(product.sum(_PLACES[product.ndim]) if product.ndim in _PLACES else product)
    return torch.cat(found).float().cpu().numpy()
