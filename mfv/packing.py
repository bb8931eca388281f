"""How tensors go from one process to another: by what they show, not by all that they are a view of."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def reduced(each: object) -> Any:
    """Return how a pickler is to write a tensor of the CPU (`reducer_override`); `NotImplemented` for all else."""
    if type(each) is Tensor and each.device.type == "cpu" and each.dtype != torch.bfloat16:
        return torch.from_numpy, (each.detach().contiguous().numpy(),)
    return NotImplemented
