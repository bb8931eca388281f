"""Objectives: what is maximized, a value per image. `Objective` says how to add one."""

from mfv.objectives.anchor import FacetAnchor
from mfv.objectives.base import Objective, Subject, WeightedSum
from mfv.objectives.margin import ClassMargin
from mfv.objectives.probability import ClassProbability
from mfv.objectives.relative import RelativeActivation
from mfv.objectives.topic import TopicActivation
from mfv.objectives.unit import UnitActivation

__all__ = [
    "ClassMargin",
    "ClassProbability",
    "FacetAnchor",
    "Objective",
    "RelativeActivation",
    "Subject",
    "TopicActivation",
    "UnitActivation",
    "WeightedSum",
]
