"""A unit other than the one whose facets are painted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from mfv.activations.values import unit_value
from mfv.errors import MfvError
from mfv.objectives.base import Objective, Subject


class UnitOf(Objective):
    """The value of any neuron or channel of any layer; several of them add up in a `WeightedSum`.

    Args:
        layer: its layer's name; "" is the network's output, so that `UnitOf("", 7)` is a logit.
        index: its neuron or channel.
        position: where in a map its value is read, as `unit_values` takes it; by default the largest.

    """

    def __init__(self, layer: str, index: Annotated[int, Ge(0), "a neuron or channel"], position: str | None = None):
        super().__init__()
        self.layer, self.index, self.position = layer, index, position

    def bind(self, subject: Subject) -> UnitOf:
        """Check the place against the network."""
        bound = UnitOf(subject.layer_name(self.layer), self.index, self.position)
        bound.layers = (bound.layer,)
        count = subject.codes(self.layer).shape[1]
        if not 0 <= self.index < count:
            raise MfvError(f"layer {self.layer!r} has no unit {self.index}: its {count} units are 0 to {count - 1}")
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the unit's value (n,)."""
        return unit_value(activations[self.layer], self.index, self.position)
