"""How a second network's judgement reads: per facet, and visualizations beside their controls."""

from collections.abc import Mapping
from typing import Any

from mfv.reports import wording
from mfv.structures import FacetSet

KINDS = {  # ends of metrics' names, and what they are of
    "": "visualizations",
    "_start": "mean images",
    "_shuffled": "shuffled",
    "_noise": "noise",
    "_members": "photographs",
}
NUMBERS = {
    "fidelity": "facet fidelity",
    "typicality": "typicality",
    "agreement": "class agreement",
    "transfer_top1": "transfer, top-1",
    "transfer_probability": "transfer, probability",
    "coverage": "coverage of facets",
    "image_coverage": "coverage of images",
    "diversity": "diversity, mean",
    "diversity_min": "diversity, least",
    "tv_ratio": "total variation",
    "contrast_ratio": "contrast",
    "saturation_ratio": "saturation",
}


def is_judged(facet_set: FacetSet) -> bool:
    """Say whether a second network has looked at the visualizations."""
    return any(facet.fidelity is not None for facet in facet_set.facets)


def facet_columns(facet_set: FacetSet) -> dict[str, list[str]]:
    """Return the judge's view of each facet by column, with the mean as the last entry; empty without a judge."""
    if not is_judged(facet_set):
        return {}
    facets, metrics = facet_set.facets, facet_set.metrics
    share = metrics.get("fidelity")
    columns = {
        "nearest facet": [
            *("own" if facet.fidelity else wording.readable(facet.judge_nearest) for facet in facets),
            wording.MISSING if share is None else f"{share:.0%} own",
        ]
    }
    if any(facet.judge_probability is not None for facet in facets):
        columns["judge’s probability"] = [
            *(wording.probability(facet.judge_probability) for facet in facets),
            wording.probability(metrics.get("transfer_probability")),
        ]
    if any(facet.judge_class is not None for facet in facets):
        columns["judge’s class"] = [*(facet.judge_class or wording.MISSING for facet in facets), ""]
    return columns


def comparison(facet_set: FacetSet) -> list[list[str]]:
    """Return a table of the judge's metrics, its head first: a row per number, a column per kind of images."""
    if not is_judged(facet_set):
        return []
    metrics = facet_set.metrics
    known = [name for name in NUMBERS if name in metrics]
    kinds = [kind for kind in KINDS if any(name + kind in metrics for name in known)]
    head = [str(metrics.get("judge", "judge")), *(KINDS[kind] for kind in kinds)]
    return [head, *([NUMBERS[name], *(_cell(metrics, name + kind) for kind in kinds)] for name in known)]


def other_metrics(facet_set: FacetSet) -> dict[str, Any]:
    """Return the metrics that `comparison` does not show."""
    shown = {name + kind for name in NUMBERS for kind in KINDS} | {"judge"} if is_judged(facet_set) else set()
    return {name: value for name, value in facet_set.metrics.items() if name not in shown}


def _cell(metrics: Mapping[str, Any], name: str) -> str:
    if name not in metrics:
        return ""
    return "<0.01" if 0 < metrics[name] < 0.005 else f"{metrics[name]:.2f}"
