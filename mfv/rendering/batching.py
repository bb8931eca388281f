"""How many images pass through the network at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mfv.models.target import TargetModel

ON_CPU = 3 << 27  # bytes (0.4 GB): more images at once are no faster there
OF_GPU = 0.6  # share of the free memory; the rest is for the images, their optimizer and the library's workspace
MOST_COUNTED = 16  # images of a pass that is only made to count
OVERHEAD = 1.5  # what a pass needs beyond what it keeps


def images_at_once(model: TargetModel, layers: Sequence[str], size: int, wanted: int = 2) -> int:
    """Return how many images' gradients fit into memory together, at least 2.

    Args:
        model: the prepared network.
        layers: whose activations are asked for.
        size: the side of what the network is shown.
        wanted: how many there are.

    """
    need = OVERHEAD * kept_bytes(model, layers, size, _sample(model, wanted))
    return max(2, int(free_bytes(model.mean.device) / max(1.0, need)))


def _sample(model: TargetModel, wanted: int) -> int:
    """Return how many images to count with: a GPU's libraries prepare anew for another batch than will be shown."""
    return 2 if model.mean.device.type == "cpu" else min(max(2, wanted), MOST_COUNTED)


def kept_bytes(model: TargetModel, layers: Sequence[str], size: int, images: int = 2) -> float:
    """Return the bytes per image that a forward pass keeps for the backward pass."""
    own = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    pixels = torch.zeros(images, 3, size, size, device=model.mean.device).contiguous(memory_format=model.memory_format)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        activations = model.activations(pixels.requires_grad_(True), layers)
        del activations
    return sum(kept.values()) / len(pixels)


def free_bytes(device: torch.device) -> float:
    """Return the bytes that a batch may take."""
    if device.type == "cuda":
        return OF_GPU * torch.cuda.mem_get_info(device)[0]
    return ON_CPU


def even_slices(count: int, size: int) -> list[slice]:
    """Return slices of at most `size` rows, as few and as even as can be, that cover `count` rows."""
    parts = -(-count // size)
    edges = [count * part // parts for part in range(parts + 1)] if parts else []
    return [slice(start, stop) for start, stop in pairwise(edges)]
