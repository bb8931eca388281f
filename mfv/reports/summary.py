"""The facets' numbers as a table for the terminal, and their means."""

import textwrap
from collections.abc import Callable, Mapping
from numbers import Real

from mfv.reports import judged, wording
from mfv.structures import FacetSet

WIDTH = 80  # columns of a terminal
GAP = "  "  # between columns of a table
LONGEST = 20  # characters of a class's name
PROBABILITY = 4  # the column
KEPT = "\u00a0"  # a space at which no line is broken


def summary_table(facet_set: FacetSet) -> str:
    """Return an aligned plain-text table: a line per facet, the means below, then the judge's view and the metrics.

    The percentile is among the natural images of the facet; "argmax" says whether no other unit of the layer
    is more active. What is not known is a dash. No line is longer than a terminal is wide, but for long names of units.
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
    if "probability" not in means:  # of a hidden unit
        rows = [[cell for column, cell in enumerate(row) if column != PROBABILITY] for row in rows]
    verdicts: list[list[str]] = [[] for _ in rows]
    for name, column in judged.facet_columns(facet_set).items():
        for row, cell in zip(verdicts, [name.removesuffix(" facet"), *column], strict=True):
            row.append(_shortened(cell))
    tables = [[[*row, *more] for row, more in zip(rows, verdicts, strict=True)]]
    if len(_aligned(tables[0])[0]) > WIDTH:  # the judge's columns get a table of their own
        tables = [rows, [[row[0], *more] for row, more in zip(rows, verdicts, strict=True)]]
    table = [f"{facet_set.unit}: {wording.images(len(facet_set.ids))}"]
    for lines in map(_aligned, tables):
        rule = "─" * max(map(len, lines))
        table += [lines[0], rule, *lines[1:-1], rule, lines[-1]]
    if comparison := judged.comparison(facet_set):
        head, *numbers = _aligned(comparison, first=str.ljust)
        table += ["", head, "─" * len(head), *numbers, ""]
    metrics = wording.flatten(judged.other_metrics(facet_set))
    widest = max((len(name) for name in metrics), default=0)
    table += [f"{name:<{widest}}  {wording.readable(value)}" for name, value in metrics.items()]
    seconds = [f"{stage} {seconds:.1f} s".replace(" ", KEPT) for stage, seconds in facet_set.timing.items()]
    table += [line.replace(KEPT, " ") for line in textwrap.wrap(" · ".join(seconds), WIDTH)]
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
    """Return the means over the facets and the numeric metrics, under "final/…", for a logger.

    With `facets`, how many there are, `seconds`, of all stages, and `activation_ratio`, the mean activation of the
    visualizations to the median one of the photographs, where that is above zero.
    """
    numbers = dict(mean_numbers(facet_set))
    numbers["facets"] = float(len(facet_set))
    if facet_set.timing:
        numbers["seconds"] = float(sum(facet_set.timing.values()))
    natural = facet_set.metrics.get("natural_median")
    if natural is not None and natural > 0 and "activation" in numbers:
        numbers["activation_ratio"] = numbers["activation"] / natural
    for name, value in wording.flatten(facet_set.metrics).items():
        if isinstance(value, Real):
            numbers[name] = float(value)
    return {f"final/{name}": value for name, value in numbers.items()}


def _aligned(rows: list[list[str]], first: Callable[[str, int], str] = str.rjust) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    place = [first, *[str.rjust] * (len(widths) - 1)]
    return [GAP.join(map(lambda put, cell, width: put(cell, width), place, row, widths)).rstrip() for row in rows]


def _shortened(cell: str) -> str:
    return cell if len(cell) <= LONGEST else cell[: LONGEST - 1].rstrip() + "…"
