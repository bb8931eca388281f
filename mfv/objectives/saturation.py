"""Enough is enough: a value that counts little beyond a bound."""

import torch
from torch import Tensor


def saturated(value: Tensor, enough: Tensor | float, beyond: float) -> Tensor:
    """Return values (n,) up to `enough`, and only a share `beyond` (0–1) of what exceeds it."""
    return torch.where(value > enough, enough + beyond * (value - enough), value)
