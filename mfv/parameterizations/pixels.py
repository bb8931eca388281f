"""The image as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mfv.parameterizations.base import Parameterization


@dataclass(frozen=True)
class Pixels(Parameterization):
    """The parameters are the pixels; a step is in grey levels (0–255)."""

    step_unit: ClassVar[float] = 1 / 255
    bounded: ClassVar[bool] = False

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the pixels."""
        return pixels

    def decode(self, parameters: Tensor) -> Tensor:
        """Return the pixels."""
        return parameters
