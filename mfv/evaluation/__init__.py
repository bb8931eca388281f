"""Evaluation: numbers on the visualizations, by the network's own account and by a second network's."""

from mfv.evaluation.diversity import less_seed_spread
from mfv.evaluation.fidelity import CodeSpace
from mfv.evaluation.judge import Judge, Reading, check_independent
from mfv.evaluation.numbers import code_distances, evaluate, measure, percentile
from mfv.evaluation.offline import find_judge
from mfv.evaluation.statistics import Statistics, statistics
from mfv.evaluation.transfer import class_of_unit
from mfv.evaluation.verdict import FacetVerdict, Reference, Verdict, judge_facets

__all__ = [
    "CodeSpace",
    "FacetVerdict",
    "Judge",
    "Reading",
    "Reference",
    "Statistics",
    "Verdict",
    "check_independent",
    "class_of_unit",
    "code_distances",
    "evaluate",
    "find_judge",
    "judge_facets",
    "less_seed_spread",
    "measure",
    "percentile",
    "statistics",
]
