"""Photographs as a network is shown them."""

from __future__ import annotations

import torch
from torch import Tensor

from mfv.models.target import TargetModel


def shown(photographs: Tensor, model: TargetModel, size: int) -> Tensor:
    """Return photographs as pixels in [0, 1], (m, 3, H, W), where the network is and laid out as it is.

    The first n are theirs. On a CPU m is n. Elsewhere it is always `size`, the last one again and again: for a batch
    of another size a GPU's libraries choose and compile kernels anew, which takes seconds (docs/performance.md).

    Args:
        photographs: (n, 3, H, W) uint8, at least one and at most `size`.
        model: the network.
        size: of the batches.

    """
    there = photographs.to(model.mean.device)
    if there.device.type != "cpu":
        there = filled(there, size)
    return there.float().div_(255).contiguous(memory_format=model.memory_format)


def filled(batch: Tensor, size: int) -> Tensor:
    """Return a batch (n, …) with its last entry repeated, (size, …)."""
    return torch.cat([batch, batch[-1:].expand(size - len(batch), *batch.shape[1:])])
