"""Methods of rendering side by side, on the same facets."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mfv.errors import MfvError
from mfv.reports.figures.grid import Column, grid_figure
from mfv.reports.figures.sheet import Figure
from mfv.reports.judged import is_judged
from mfv.structures import FacetSet


def methods_figure(runs: Sequence[tuple[str, FacetSet]], nearest: Tensor | None = None, width: float = 17.5) -> Figure:
    """Draw the same facets (rows) by several methods (columns), after what they come from.

    Args:
        runs: each method's name and what it made of the facets. Where a second network has judged them, the column
            says how many it takes for their own facet.
        nearest: per facet its nearest image, (k, 3, h, w) in [0, 1]; by default the column is left out.
        width: of the figure in centimetres.

    Raises:
        MfvError: the methods have not painted the same facets.

    """
    check_same_facets(runs)
    found = runs[0][1]
    columns = [] if nearest is None else [Column("nearest image", nearest)]
    columns.append(Column("mean image", found.mean_images))
    for number, (name, run) in enumerate(runs):
        assert run.images is not None, "only visualizations are drawn"
        columns.append(Column(name, run.images, held(run), begins=number == 0))
    return grid_figure(found.facets, columns, width)


def held(run: FacetSet) -> str:
    """Return "9 of 10 in their facet" as the judge sees it; "" without a judge."""
    if not is_judged(run):
        return ""
    return f"in facet: {sum(facet.fidelity is True for facet in run.facets)} of {len(run)}"


def check_same_facets(runs: Sequence[tuple[str, FacetSet]]) -> None:
    """Raise `MfvError` where runs are not of the same unit and facets."""
    (first, found), *others = runs
    for name, other in others:
        if other.unit != found.unit or [f.members for f in other.facets] != [f.members for f in found.facets]:
            raise MfvError(
                f"{first!r} and {name!r} have not painted the same facets: compare ways of rendering on one unit, "
                f"with one seed and one way of finding facets"
            )
