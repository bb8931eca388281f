"""Objectives: what is maximized, a value per image. `Objective` says how to add one."""

from mfv.objectives.alignment import DistributionAlignment
from mfv.objectives.anchor import FacetAnchor
from mfv.objectives.base import Objective, Subject, WeightedSum
from mfv.objectives.constraint import Constraint
from mfv.objectives.direction import Direction
from mfv.objectives.diversity import CodeDistance, GramDiversity
from mfv.objectives.inversion import CodeInversion
from mfv.objectives.margin import ClassMargin
from mfv.objectives.probability import ClassProbability
from mfv.objectives.probe import FacetProbe
from mfv.objectives.relative import RelativeActivation
from mfv.objectives.topic import TopicActivation
from mfv.objectives.unit import UnitActivation
from mfv.objectives.unit_of import UnitOf

__all__ = [
    "ClassMargin",
    "ClassProbability",
    "CodeDistance",
    "CodeInversion",
    "Constraint",
    "Direction",
    "DistributionAlignment",
    "FacetAnchor",
    "FacetProbe",
    "GramDiversity",
    "Objective",
    "RelativeActivation",
    "Subject",
    "TopicActivation",
    "UnitActivation",
    "UnitOf",
    "WeightedSum",
]
