"""Evaluation: numbers on the visualizations."""

from mfv.evaluation.numbers import code_distances, evaluate, measure, percentile

__all__ = ["code_distances", "evaluate", "measure", "percentile"]
