"""The facets' numbers as a table for the terminal, and their means."""

from collections.abc import Callable, Mapping
from numbers import Real

from mfv.reports import judged, wording
from mfv.structures import FacetSet


def summary_table(facet_set: FacetSet) -> str:
    """Return an aligned plain-text table: a line per facet, the means below, then the judge's view and the metrics.

    The percentile is among the natural images of the facet; "argmax" says whether no other unit of the layer
    is more active. What is not known is a dash.
    """
    rows = [["facet", "images", "activation", "percentile", "probability", "argmax"]]
    for facet in facet_set.facets:
        rows.append(
            [
                str(facet.index),
                str(facet.size),
                f"{wording.number(facet.activation_start)} → {wording.number(facet.activation)}",
                wording.ordinal(facet.natural_percentile),
                wording.probability(facet.probability),
                wording.readable(facet.is_argmax),
            ]
        )
    means = mean_numbers(facet_set)
    rows.append(
        [
            "mean",
            wording.number(means.get("images")),
            f"{wording.number(means.get('activation_start'))} → {wording.number(means.get('activation'))}",
            wording.ordinal(means.get("natural_percentile")),
            wording.probability(means.get("probability")),
            f"{means['argmax_share']:.0%}" if "argmax_share" in means else wording.MISSING,
        ]
    )
    for name, column in judged.facet_columns(facet_set).items():
        for row, cell in zip(rows, [name, *column], strict=True):
            row.append(cell)
    lines = _aligned(rows)
    rule = "─" * len(lines[0])
    title = f"{facet_set.unit}: {wording.images(len(facet_set.ids))}"
    table = [title, lines[0], rule, *lines[1:-1], rule, lines[-1]]
    if comparison := judged.comparison(facet_set):
        head, *numbers = _aligned(comparison, first=str.ljust)
        table += ["", head, "─" * len(head), *numbers, ""]
    metrics = wording.flatten(judged.other_metrics(facet_set))
    widest = max((len(name) for name in metrics), default=0)
    table += [f"{name:<{widest}}  {wording.readable(value)}" for name, value in metrics.items()]
    if facet_set.timing:
        table.append(" · ".join(f"{stage} {seconds:.1f} s" for stage, seconds in facet_set.timing.items()))
    return "\n".join(table)


def mean_numbers(facet_set: FacetSet) -> dict[str, float]:
    """Return the means over the facets of each number that at least one facet has."""
    columns: Mapping[str, list[float | None]] = {
        "images": [facet.size for facet in facet_set.facets],
        "activation_start": [facet.activation_start for facet in facet_set.facets],
        "activation": [facet.activation for facet in facet_set.facets],
        "natural_percentile": [facet.natural_percentile for facet in facet_set.facets],
        "probability": [facet.probability for facet in facet_set.facets],
        "argmax_share": [facet.is_argmax for facet in facet_set.facets],
    }
    known = {name: [float(v) for v in values if v is not None] for name, values in columns.items()}
    return {name: sum(values) / len(values) for name, values in known.items() if values}


def final_numbers(facet_set: FacetSet) -> dict[str, float]:
    """Return the means over the facets and the numeric metrics, under "final/…", for a logger."""
    numbers = dict(mean_numbers(facet_set))
    for name, value in wording.flatten(facet_set.metrics).items():
        if isinstance(value, Real):
            numbers[name] = float(value)
    return {f"final/{name}": value for name, value in numbers.items()}


def _aligned(rows: list[list[str]], first: Callable[[str, int], str] = str.rjust) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    place = [first, *[str.rjust] * (len(widths) - 1)]
    return ["   ".join(map(lambda put, cell, width: put(cell, width), place, row, widths)).rstrip() for row in rows]
