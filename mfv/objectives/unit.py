"""The unit itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, TypeVar

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from mfv.activations.values import unit_value
from mfv.objectives.base import Objective, Subject
from mfv.objectives.saturation import saturated


class UnitActivation(Objective):
    """The unit's value, before its nonlinearity.

    Args:
        cap: the percentile (0–100) of the unit's value on the facet's own images that counts as the
            end of the natural range; None for no cap. A value far beyond means an image unlike them.
        reach: how many times as far above the median as that percentile the value may go freely.
        beyond: what an activation above that counts, as a share (0–1).
        natural: count in natural spreads (`natural_spread`) rather than in the unit's own scale, so
            that a weight means the same for every unit.

    """

    cap: Tensor  # (k,) per facet
    spread: float | Tensor  # of several units' facets one each, (k,)
    index: int | Tensor
    position: str | None

    def __init__(
        self,
        cap: Annotated[float | None, Interval(ge=50, le=100), "a percentile, or null"] = None,
        reach: Annotated[float, Ge(0)] = 1.0,
        beyond: Annotated[float, Interval(ge=0, le=1), "a share"] = 0.1,
        natural: bool = False,
    ):
        super().__init__()
        self.percentile, self.reach, self.beyond, self.natural = cap, reach, beyond, natural

    def bind(self, subject: Subject) -> UnitActivation:
        """Take the unit's place and, with a cap, its natural range per facet."""
        bound = UnitActivation(self.percentile, self.reach, self.beyond, self.natural)
        bound.spread = natural_spread(subject.activations()) if self.natural else 1.0
        bound.layers = (subject.layer,)
        bound.index, bound.position = subject.index, subject.position
        caps = torch.full((subject.facets,), torch.inf)
        if self.percentile is not None:
            values, assignment = subject.activations().float(), subject.assignment()
            for facet in range(subject.facets):
                own = values[assignment == facet]
                if len(own):
                    middle, end = torch.quantile(own, torch.tensor([0.5, self.percentile / 100]))
                    caps[facet] = middle + self.reach * (end - middle)
        bound.register_buffer("cap", caps)
        return bound

    def joined(self, bound: Sequence[UnitActivation], facets: int) -> UnitActivation:
        """Keep each facet's unit, cap and spread."""
        every = UnitActivation(self.percentile, self.reach, self.beyond, self.natural)
        every.layers, every.position = self.layers, self.position
        every.register_buffer("index", per_facet([one.index for one in bound], facets))
        every.register_buffer("spread", per_facet([one.spread for one in bound], facets))
        every.register_buffer("cap", torch.cat([one.cap for one in bound]))
        return every

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the (capped) value (n,)."""
        value = unit_value(activations[self.layers[0]], of_facets(self.index, facets), self.position)
        if self.percentile is not None:
            value = saturated(value, self.cap[facets], self.beyond)
        return value / of_facets(self.spread, facets)


T = TypeVar("T", bound=float)


def per_facet(units: Sequence[T | Tensor], facets: int) -> Tensor:
    """Return the units' numbers (units,), one for each of their facets (units · facets,)."""
    return torch.tensor(units).repeat_interleave(facets)


def of_facets(number: T | Tensor, facets: Tensor) -> T | Tensor:
    """Return the number of a single unit, or of several units' facets those of the facets asked for (n,)."""
    return number[facets] if isinstance(number, Tensor) else number


def natural_spread(activations: Tensor) -> float:
    """Return how far the unit's best photographs (99th percentile) stand above the middle one; never 0."""
    middle, end = torch.quantile(activations.float(), torch.tensor([0.5, 0.99]))
    spread = float(end - middle)
    return spread if spread > 0 else float(activations.abs().max()) or 1.0
