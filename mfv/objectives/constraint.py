"""An aim that is content once it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from annotated_types import Interval
from torch import Tensor

from mfv.joining import bound_to
from mfv.objectives.base import Objective, Subject
from mfv.objectives.saturation import saturated


class Constraint(Objective):
    """min(value, at_least), with a small slope beyond: another objective, as a constraint.

    So an anchor pulls an image into its facet and then leaves it to the unit.

    Args:
        objective: what is constrained.
        at_least: the value that is enough.
        beyond: what more than that counts, as a share (0–1).

    """

    def __init__(
        self,
        objective: Objective,
        at_least: float,
        beyond: Annotated[float, Interval(ge=0, le=1), "a share"] = 0.1,
    ):
        super().__init__()
        self.objective, self.at_least, self.beyond = objective, at_least, beyond
        self.layers = objective.layers

    def bind(self, subject: Subject) -> Constraint:
        """Bind what is constrained."""
        return Constraint(bound_to(subject, self.objective, Objective), self.at_least, self.beyond)

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the constrained value (n,)."""
        value = self.objective(activations, facets, progress)
        return saturated(value, self.at_least, self.beyond)
