"""The unit against its natural range."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mfv.activations.values import unit_value
from mfv.objectives.base import Objective, Subject


class RelativeActivation(Objective):
    """The unit's value over its largest magnitude on any of its images (Mahendran & Vedaldi 2016, section 5).

    A weight then means the same for every unit: 1 is as much as the best photograph.
    """

    index: int
    position: str | None
    largest: float

    def bind(self, subject: Subject) -> RelativeActivation:
        """Take the unit's place and its largest value."""
        bound = RelativeActivation()
        bound.layers = (subject.layer,)
        bound.index, bound.position = subject.index, subject.position
        bound.largest = float(subject.activations().abs().max()) or 1.0
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the relative value (n,)."""
        return unit_value(activations[self.layers[0]], self.index, self.position) / self.largest
