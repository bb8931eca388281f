"""The class against all others."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor

from mfv.activations.values import unit_values
from mfv.objectives.base import Objective, Subject
from mfv.objectives.unit import UnitActivation, natural_spread, of_facets, per_facet

logger = logging.getLogger("mfv")


class ClassMargin(Objective):
    """The class's value less a soft maximum of the others', z_c − T·log Σ_{j≠c} exp(z_j/T), in natural spreads.

    A class's value alone also rises with what its neighbours like as well (a facade makes a cinema,
    and a palace). The margin asks for what only the class has, and is what other networks
    recognize (docs/rendering.md). A hidden unit has no rivals: there it is the unit's own value,
    capped (`UnitActivation`). Both count in the unit's natural spreads (`natural_spread`), so that
    a weight means the same for every unit.

    Args:
        temperature: T in the units of the class values; 1 is the log-odds of the class, more counts
            all the classes that come near rather than the nearest one.
        reach: of a hidden unit's cap, as `UnitActivation` takes it, over the 99th percentile.
        beyond: what a hidden unit's activation above that counts, as a share (0–1).
        hidden: what a hidden unit's value counts in place of the margin, as a share above 0: a weight
            that makes a class stand out from its rivals makes a hidden unit run away.

    """

    index: int | Tensor  # of several units' facets one each, (k,)
    spread: float | Tensor

    def __init__(
        self,
        temperature: Annotated[float, Gt(0)] = 1.0,
        reach: Annotated[float, Ge(0)] = 1.0,
        beyond: Annotated[float, Interval(ge=0, le=1), "a share"] = 0.02,
        hidden: Annotated[float, Gt(0), "a share"] = 0.3,
    ):
        super().__init__()
        self.temperature, self.reach, self.beyond, self.hidden = temperature, reach, beyond, hidden

    def bind(self, subject: Subject) -> Objective:
        """Take the class's index."""
        if not subject.is_class:
            _say_no_rivals(subject.layer)
            unit = UnitActivation(99, self.reach, self.beyond, natural=True).bind(subject)
            unit.spread /= self.hidden
            return unit
        bound = ClassMargin(self.temperature)
        bound.spread = natural_spread(subject.activations())
        bound.layers = (subject.layer,)
        bound.index = subject.index
        return bound

    def joined(self, bound: Sequence[ClassMargin], facets: int) -> ClassMargin:
        """Keep each facet's class and spread."""
        every = ClassMargin(self.temperature)
        every.layers = self.layers
        every.register_buffer("index", per_facet([one.index for one in bound], facets))
        every.register_buffer("spread", per_facet([one.spread for one in bound], facets))
        return every

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the margin (n,)."""
        values = unit_values(activations[self.layers[0]])[0]
        own, others = _apart(values, of_facets(self.index, facets))
        rivals = self.temperature * torch.logsumexp(others / self.temperature, 1)
        return (own - rivals) / of_facets(self.spread, facets)


def _apart(values: Tensor, index: int | Tensor) -> tuple[Tensor, Tensor]:
    """Return a class's value (n,), one class's or (n,) each image's own, and those of the others (n, classes - 1)."""
    if not isinstance(index, Tensor):
        return values[:, index], torch.cat([values[:, :index], values[:, index + 1 :]], 1)
    index = index[:, None]
    rest = torch.arange(values.shape[1] - 1, device=values.device)
    return values.gather(1, index)[:, 0], values.gather(1, rest + (rest >= index))


@cache
def _say_no_rivals(layer: str) -> None:
    """Log it once, however many units a layer has."""
    logger.info("a unit of layer %s has no rival classes: its own value is maximized", layer)
