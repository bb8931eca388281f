"""What a run leaves for people to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from mfv.replacing import replacing
from mfv.reports.contact_sheet import contact_sheet
from mfv.reports.curves import write_curves
from mfv.reports.gallery import gallery
from mfv.reports.images import save_png
from mfv.structures import FacetSet
from mfv.threads import in_threads


def write_report(
    facet_set: FacetSet,
    exemplars: Sequence[Tensor],
    thumbnails: Tensor,
    curves: Tensor,
    snapshots: Mapping[int, Tensor],
    directory: str | Path,
    command: str = "",
) -> Path:
    """Write the pictures, the curves, the contact sheet and the gallery; return the gallery's place.

    Args:
        facet_set: with its images.
        exemplars: per facet (m, 3, h, w) uint8.
        thumbnails: (n, 3, h, w) uint8, one per image of the facet set.
        curves: (steps, k) the unit's value at each step.
        snapshots: after so many steps, the images (k, 3, h, w) uint8.
        directory: of the run.
        command: what reproduces the run.

    """
    directory = Path(directory)
    assert facet_set.images is not None, "a report is of a rendered facet set"
    pictures: list[tuple[Tensor | Image.Image, str]] = [(contact_sheet(facet_set, exemplars), "contact_sheet.png")]
    pictures += [(image, facet.image_path) for facet, image in zip(facet_set.facets, facet_set.images, strict=True)]
    pictures += [
        (mean, facet.mean_image_path) for facet, mean in zip(facet_set.facets, facet_set.mean_images, strict=True)
    ]
    in_threads(lambda one: save_png(one[0], directory / one[1]), pictures)
    columns = {f"activation/facet_{k:02d}": column for k, column in enumerate(curves.T.numpy())}
    write_curves(directory / "metrics.csv", np.arange(len(curves)), columns)
    page = gallery(facet_set, exemplars, list(thumbnails), snapshots, command)
    path = directory / "gallery.html"
    with replacing(path) as part:
        part.write_text(page, encoding="utf-8")
    return path
