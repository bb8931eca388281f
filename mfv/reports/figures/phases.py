"""How facets' images grew, from the start over the steps to the result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from mfv.reports import wording
from mfv.reports.figures.grid import GUTTER, LEAD, Column, grid_figure
from mfv.reports.figures.sheet import Figure
from mfv.structures import FacetSet

LEAST = 1.3  # centimetres a side of a picture: as many steps as fit are shown


def phases_figure(
    found: FacetSet, snapshots: Mapping[int, Tensor], steps: int, start: Tensor | None = None, width: float = 17.5
) -> Figure:
    """Draw a strip for every facet: its start, its snapshots, its visualization.

    Args:
        found: the facets with their visualizations.
        snapshots: after so many steps, the images (k, 3, h, w) in [0, 1], one per facet.
        steps: of the whole rendering.
        start: the pictures that the images started from, (k, 3, h, w); by default the column is left out.
        width: of the figure in centimetres; as many snapshots as fit are shown, evenly spread.

    """
    assert found.images is not None, "only visualizations are drawn"
    columns = [] if start is None else [Column("start", start, notes=_values(found, "activation_start"))]
    room = int((width - LEAD + GUTTER) / (LEAST + GUTTER)) - len(columns) - 1
    between = [step for step in sorted(snapshots) if 0 < step < steps]
    blank = [""] * len(found)
    for step in _spread(between, steps, max(room, 0)):
        columns.append(Column(_steps(step), snapshots[step], notes=blank))
    columns.append(Column(_steps(steps), found.images, notes=_values(found, "activation")))
    return grid_figure(found.facets, columns, width, "activation")


def _values(found: FacetSet, name: str) -> list[str]:
    return [wording.number(getattr(facet, name)).replace("-", "−") for facet in found.facets]


def _steps(count: int) -> str:
    return f"{count} step" if count == 1 else f"{count} steps"


def _spread(known: list[int], last: int, count: int) -> list[int]:
    """Return `count` of the known steps: the first, and others as evenly as they lie up to the last of all."""
    if len(known) <= count:
        return known
    wanted = np.linspace(known[0], last, count + 1)[:-1] if count else np.empty(0)
    return sorted({min(known, key=lambda step: abs(step - each)) for each in wanted.tolist()})
