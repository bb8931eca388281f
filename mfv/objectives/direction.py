"""A direction in a layer's activation space."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor
from torch.nn import functional as F

from mfv.activations.values import as_codes
from mfv.errors import MfvError
from mfv.objectives.base import Objective, Subject


class Direction(Objective):
    """a·v, how far a layer's mean activation a reaches along a direction v, times cos(a, v)^power.

    Of a cosine below .1 it is .1 to the power: else an image that points elsewhere would have no slope to climb.
    With a power the activation must also point that way, not only reach far (Carter et al. 2019,
    Activation Atlas); with a unit vector along one axis it is that channel's mean.

    Args:
        layer: the layer's name.
        vector: one number per channel or neuron, or a .npy file that holds them.
        power: of the cosine; 0 leaves the product alone.

    """

    direction: Tensor  # (d,)

    def __init__(
        self,
        layer: str,
        vector: Sequence[float] | np.ndarray | Tensor | str | os.PathLike[str],
        power: Annotated[float, Ge(0), "an exponent"] = 0.0,
    ):
        super().__init__()
        self.vector = os.fspath(vector) if isinstance(vector, os.PathLike) else vector
        self.layer, self.power = layer, power

    def bind(self, subject: Subject) -> Direction:
        """Read the vector and check its length."""
        bound = Direction(subject.layer_name(self.layer), self.vector, self.power)
        bound.layers = (bound.layer,)
        values = _read(self.vector) if isinstance(self.vector, str) else self.vector
        direction, count = torch.as_tensor(values, dtype=torch.float32), subject.codes(self.layer).shape[1]
        if direction.shape != (count,):
            raise MfvError(
                f"the direction has shape {tuple(direction.shape)}, and layer {self.layer!r} has {count} units: "
                "give one number for each"
            )
        bound.register_buffer("direction", direction)
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the (sharpened) product (n,)."""
        codes = as_codes(activations[self.layer])
        product = (codes * self.direction).sum(1)
        if not self.power:
            return product
        return product * F.cosine_similarity(codes, self.direction[None], dim=1).clamp_min(0.1) ** self.power


def _read(file: str) -> np.ndarray:
    path = Path(file).expanduser()
    if not path.exists():
        raise MfvError(f"the direction's file {file} is not there: give a .npy file or the numbers")
    try:
        return np.asarray(np.load(path), dtype=np.float32)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise MfvError(f"the direction's file {file} holds no numbers ({error}): give a .npy file of them") from error
