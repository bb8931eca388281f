"""Objectives: what is maximized, a value per image. `Objective` says how to add one."""

from mfv.objectives.anchor import FacetAnchor
from mfv.objectives.base import Objective, Subject, WeightedSum
from mfv.objectives.probability import ClassProbability
from mfv.objectives.unit import UnitActivation

__all__ = ["ClassProbability", "FacetAnchor", "Objective", "Subject", "UnitActivation", "WeightedSum"]
