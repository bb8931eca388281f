"""What each unit of the layer below adds to a unit's value."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from mfv.activations.values import as_codes, unit_value
from mfv.models.naming import INPUT_SUFFIX
from mfv.models.target import TargetModel

BATCH = 32


def contributions(model: TargetModel, layer: str, index: int, position: str | None, windows: Tensor) -> np.ndarray:
    """Return what each unit below adds to a unit's value on each image: activation × gradient, summed over its map.

    Args:
        model: the network; frozen.
        layer: the unit's.
        index: the unit's, in its layer.
        position: where in a map its value is read.
        windows: (n, 3, S, S) uint8, the images as the network is shown them.

    Returns:
        (n, d) float32, d the number of units (channels) that the layer is given.

    """
    below, found = layer + INPUT_SUFFIX, []
    for batch in windows.split(BATCH):
        pixels = batch.to(model.mean.device).float().div_(255).requires_grad_(True)
        with torch.enable_grad():
            activations = model.activations(pixels, [below, layer])
            value = unit_value(activations[layer], index, position)
            (gradient,) = torch.autograd.grad(value.sum(), activations[below])
        product = activations[below].detach() * gradient
        found.append(as_codes(product) * (product[0, 0].numel() if product.ndim == 4 else 1))
    return torch.cat(found).float().cpu().numpy()
