"""A finished run, read back without its network: its facets, its photographs as the unit saw them, its steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mfv.activations.view import seen_part
from mfv.commands import shell_setting
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess, crop_resized
from mfv.errors import MfvError
from mfv.rendering.rendering import Rendering
from mfv.structures import FacetSet

FACETS, RENDERING, PAGE = "facets.json", "render.safetensors", "gallery.html"
REMAKE = "make the run again, in another directory"


@dataclass(frozen=True)
class Growth:
    """How the images of a run's facets came about."""

    snapshots: dict[int, Tensor]  # after so many steps, the images (k, 3, h, w) float32 in [0, 1]
    curves: np.ndarray  # (steps, k): the unit's value at each step


def read_run(directory: str | Path) -> FacetSet:
    """Return the facets of a finished run of one unit, with their images.

    Raises:
        MfvError: the directory is none, holds no run or a job of several units, or its run is damaged or not finished.

    """
    directory = Path(directory)
    if not directory.is_dir():
        raise MfvError(f"{directory} is no directory: give the directory of a run (outputs/<date>/<time>)")
    if not (directory / FACETS).exists():
        if units := units_of(directory):
            raise MfvError(
                f"{directory} holds a job of {len(units)} units: give the directory of one of them, such as {units[0]}"
            )
        raise MfvError(f"{directory} holds no run (there is no {FACETS}): give the directory of a finished run")
    found = FacetSet.load(directory)
    if found.images is None:
        again = shell_setting("hydra.run.dir", directory)
        raise MfvError(f"the run in {directory} is not finished: give its command again with {again}")
    return found


def units_of(directory: str | Path) -> list[Path]:
    """Return the directories of a job's finished units, layer by layer in the job's order, units by their number."""
    pages = sorted(Path(directory).glob(f"*/unit_*/{PAGE}"), key=lambda page: (page.stat().st_mtime_ns, page))
    layers = list(dict.fromkeys(page.parent.parent for page in pages))
    return sorted((page.parent for page in pages), key=lambda unit: (layers.index(unit.parent), unit.name))


def only_facets(found: FacetSet, numbers: Sequence[int] | None) -> FacetSet:
    """Return the facets with these numbers, in this order, with their images; None stands for all.

    Raises:
        MfvError: there is no facet with such a number.

    """
    if numbers is None:
        return found
    known = {facet.index: place for place, facet in enumerate(found.facets)}
    for number in numbers:
        if number not in known:
            raise MfvError(f"there is no facet {number} of {found.unit}: its facets are {', '.join(map(str, known))}")
    places = [known[number] for number in dict.fromkeys(numbers)]
    return found.with_(
        facets=tuple(found.facets[place] for place in places),
        mean_images=found.mean_images[places],
        images=None if found.images is None else found.images[places],
    )


def seen_photographs(found: FacetSet, source: ImageSource, ids: Sequence[str]) -> Tensor:
    """Return what the unit saw of some of its images, (n, 3, s, s) in [0, 1]: all, or its receptive field.

    Args:
        found: the unit's facets.
        source: the images of the run.
        ids: of the unit's images.

    Raises:
        MfvError: an image is no longer there, or the run does not tell what was seen.

    """
    shown, field = found.discovery.get("input"), found.discovery.get("receptive_field")
    if shown is None or (field and found.boxes is None):
        raise MfvError(f"the run of {found.unit} is an earlier version's and does not tell what was seen: {REMAKE}")
    preprocess = Preprocess(shown["size"], shown["resize"])
    rows = {id: row for row, id in enumerate(found.ids)}
    seen = []
    for id in ids:
        pixels = preprocess.loaded(source, source.index_of(id)) / 255
        if found.boxes is not None:
            top, left, height, width = found.boxes[rows[id]].tolist()
            pixels = crop_resized(pixels, (top, left, height, width), height)
        seen.append(pixels)
    return torch.stack(seen)


def read_growth(directory: str | Path, found: FacetSet) -> Growth:
    """Return the snapshots that a run of one unit keeps, of what the unit sees, and the unit's curves.

    Raises:
        MfvError: the directory keeps none, as those of a job of many units do not.

    """
    path = Path(directory) / RENDERING
    if not path.exists():
        raise MfvError(
            f"{directory} keeps no steps of its rendering (there is no {RENDERING}; a job of many units leaves none): "
            f"make a run of this unit alone (layer={found.unit.layer} unit={found.unit.index})"
        )
    rendering = Rendering.load(path)
    if not rendering.snapshots:
        raise MfvError(
            f"{directory} keeps no snapshots: make the run again with a snapshot_every of at most its "
            f"{len(rendering.curves)} steps"
        )
    assert found.images is not None, "a run that is read back has its images"
    field = found.discovery.get("receptive_field")  # of runs before 2026-11-27 without the window, which was even
    size = field["size"] if field else 1
    window = field.get("window", round(size * rendering.images.shape[-1] / found.images.shape[-1])) if field else 1
    margin = field.get("margin", (window - size) // 2) if field else 0
    seen = {step: seen_part(images.float() / 255, window, margin, size) for step, images in rendering.snapshots.items()}
    return Growth(seen, rendering.curves.numpy())
