"""What the start gives: the same facets from noise, from one image, from the mean image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from mfv.reports.figures.grid import Column, grid_figure
from mfv.reports.figures.methods import check_same_facets, held
from mfv.reports.figures.sheet import Figure
from mfv.structures import FacetSet

NAMES = {
    "noise": "from noise",
    "image": "from one image",
    "mean": "from the mean image",
    "contrast": "from the mean image, at natural contrast",
    "gray": "from grey",
}


def starts_figure(runs: Sequence[tuple[str, FacetSet]], pictures: Mapping[str, Tensor], width: float = 17.5) -> Figure:
    """Draw the same facets (rows) from several starts (pairs of columns: the start, what became of it).

    Args:
        runs: each start's name, as `render.start` has it, and what was made from it.
        pictures: starts that have a picture for each facet, (k, 3, h, w) in [0, 1], by name; others get one column.
        width: of the figure in centimetres.

    Raises:
        MfvError: the runs have not painted the same facets.

    """
    check_same_facets(runs)
    columns = []
    for name, run in runs:
        assert run.images is not None, "only visualizations are drawn"
        start = pictures.get(name)
        if start is not None:
            columns.append(Column("start", start, begins=True))
        columns.append(Column(NAMES[name], run.images, held(run), begins=start is None))
    return grid_figure(runs[0][1].facets, columns, width)
