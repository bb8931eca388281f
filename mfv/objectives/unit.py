"""The unit itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mfv.activations.values import unit_values
from mfv.objectives.base import Objective, Subject


class UnitActivation(Objective):
    """The unit's value, before its nonlinearity.

    Args:
        cap: the percentile (0–100) of the unit's value on the facet's own images beyond which more
            of it counts less; None for no cap. A value far above natural images' means an image
            unlike them.
        beyond: what an activation above the cap counts, as a share.

    """

    cap: Tensor

    def __init__(self, cap: float | None = None, beyond: float = 0.1):
        super().__init__()
        self.percentile, self.beyond = cap, beyond

    def bind(self, subject: Subject) -> UnitActivation:
        """Take the unit's place and, with a cap, its natural range per facet."""
        bound = UnitActivation(self.percentile, self.beyond)
        bound.layers = (subject.layer,)
        bound.index, bound.position = subject.index, subject.position
        caps = torch.full((subject.facets,), torch.inf)
        if self.percentile is not None:
            values, assignment = subject.activations(), subject.assignment()
            for facet in range(subject.facets):
                own = values[assignment == facet]
                if len(own):
                    caps[facet] = torch.quantile(own.float(), self.percentile / 100)
        bound.register_buffer("cap", caps)
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the (capped) value (n,)."""
        value = unit_values(activations[self.layers[0]], self.position)[0][:, self.index]
        cap = self.cap[facets]
        return torch.where(value > cap, cap + self.beyond * (value - cap), value) if self.percentile else value
