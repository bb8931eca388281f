"""The class probability."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from torch import Tensor

from mfv.objectives.base import Objective, Subject
from mfv.objectives.unit import UnitActivation

PROBABILITY_LAYER = "prob"

logger = logging.getLogger("mfv")


class ClassProbability(Objective):
    """The softmax probability of the unit's class; a hidden unit has none: there it is the unit's value.

    Its gradient vanishes where the class is certain, or out of sight.
    """

    layers = (PROBABILITY_LAYER,)
    index: int

    def bind(self, subject: Subject) -> Objective:
        """Take the class's index."""
        if not subject.is_class:
            logger.info("a unit of layer %s has no class probability: its own value is maximized", subject.layer)
            return UnitActivation().bind(subject)
        bound = ClassProbability()
        bound.index = subject.index
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the probability (n,)."""
        return activations[PROBABILITY_LAYER][:, self.index]
