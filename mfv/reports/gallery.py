"""One self-contained page: the map, the facets, their images and the numbers."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from PIL import Image
from torch import Tensor

from mfv.reports import geometry, judged, wording
from mfv.reports.embedded import embed, sprite
from mfv.reports.palette import DARK_GROUND, LIGHT_GROUND, facet_colours
from mfv.reports.summary import mean_numbers
from mfv.structures import FacetSet

EXEMPLARS = 8  # shown per facet, beside the mean image
SNAPSHOTS = 10  # steps on the slider besides start and end
BINS = 48  # of the histogram, where a run has not counted them
HISTOGRAM, OWN = (
    (50, 36),
    (52, 10),
)  # the histogram's base and height, the ticks' top and height
KILOBYTE = 1000

# What each kind of picture may take of the page's 3 MB, and the (pixels, quality) to try in turn.
VISUALIZATIONS = (
    560 * KILOBYTE,
    [(448, 90), (320, 88), (256, 85), (224, 80), (192, 70), (128, 60), (96, 40)],
)
MEANS = (120 * KILOBYTE, [(160, 80), (128, 70), (96, 60), (64, 50)])
NEAREST = (560 * KILOBYTE, [(144, 78), (112, 75), (96, 65), (80, 55), (64, 45), (40, 30)])
THUMBNAILS = (
    700 * KILOBYTE,
    [(96, 75), (72, 75), (56, 70), (48, 65), (40, 60), (40, 40), (32, 40), (20, 30)],
)
STEPS = (750 * KILOBYTE, [(256, 75), (192, 70), (160, 60), (128, 50), (96, 45), (64, 40)])


def gallery(
    facet_set: FacetSet,
    exemplars: Sequence[Tensor],
    thumbnails: Sequence[Tensor | Image.Image],
    snapshots: Mapping[int, Tensor] | None = None,
    command: str = "",
) -> str:
    """Return the page as HTML; it makes no request, and everything from outside is escaped.

    `exemplars` holds one tensor (m, 3, h, w) per facet, nearest first; `thumbnails` one picture of any size per
    image of `facet_set.ids`; `snapshots` the visualizations (k, 3, H, W) by iteration; tensors are bytes or in
    [0, 1]. `command` is what reproduces the run. Pictures are shrunk until ten facets of 1,300 images take less than
    3 MB.
    """
    _check(facet_set, exemplars, thumbnails, snapshots or {})
    environment = page_environment()
    indices = [facet.index for facet in facet_set.facets]
    colour_count = max(indices, default=-1) + 1
    script = environment.get_template("gallery.js.jinja").render()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    unit = facet_set.unit
    return environment.get_template("gallery.html.jinja").render(
        unit=unit,
        title=unit.label or f"unit {unit.index}",
        facets=_cards(facet_set, exemplars),
        map=_map(facet_set, thumbnails),
        data=_data(facet_set, snapshots),
        totals=_totals(facet_set),
        natural_images=_natural(facet_set)["images"],
        means=mean_numbers(facet_set),
        judged=judged.facet_columns(facet_set),
        comparison=judged.comparison(facet_set),
        details={
            "Metrics": wording.flatten(judged.other_metrics(facet_set)),
            "Discovery": wording.flatten({k: v for k, v in facet_set.discovery.items() if k != "natural"}),
            "Seconds": wording.flatten(facet_set.timing),
        },
        command=command,
        script=Markup(script),
        script_hash=f"sha256-{digest}",
        light=list(enumerate(facet_colours(colour_count, LIGHT_GROUND))),
        dark=list(enumerate(facet_colours(colour_count, DARK_GROUND))),
    )


def page_environment() -> Environment:
    """Return Jinja's environment for the pages: it escapes everything, and knows how numbers are written."""
    environment = Environment(
        loader=PackageLoader("mfv.reports", "."),
        autoescape=select_autoescape(["html.jinja"], default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=wording.number,
        ordinal=wording.ordinal,
        probability=wording.probability,
        readable=wording.readable,
        images=wording.images,
    )
    return environment


def _check(
    facet_set: FacetSet,
    exemplars: Sequence[Tensor],
    thumbnails: Sequence[Tensor | Image.Image],
    snapshots: Mapping[int, Tensor],
) -> None:
    count = len(facet_set)
    if len(exemplars) != count:
        raise ValueError(f"{count} facets need as many tensors of exemplars, got {len(exemplars)}")
    if len(thumbnails) != len(facet_set.ids):
        raise ValueError(f"{len(facet_set.ids)} images need as many thumbnails, got {len(thumbnails)}")
    for step, images in snapshots.items():
        if len(images) != count:
            raise ValueError(f"{count} facets need as many snapshots, got {len(images)} at step {step}")


def _cards(facet_set: FacetSet, exemplars: Sequence[Tensor]) -> list[dict[str, Any]]:
    """Return what the page shows of each facet."""
    count = len(facet_set)
    facets = facet_set.facets
    rendered = None if facet_set.images is None else embed(list(facet_set.images), *VISUALIZATIONS)
    means = embed(list(facet_set.mean_images), *MEANS)
    nearest = iter(embed([image for some in exemplars for image in some[:EXEMPLARS]], *NEAREST))
    natural = _natural(facet_set)
    axis = geometry.Axis.over(
        facet_set.activations,
        [natural["low"], natural["high"]],
        [facet.activation_start for facet in facets],
        [facet.activation for facet in facets],
    )
    histogram = axis.bars(natural["counts"], natural["low"], natural["high"], *HISTOGRAM)
    cards = []
    for position in range(count):
        facet = facets[position]
        own = facet_set.activations[facet_set.assignment == facet.index]
        names = list(facet.exemplars) or list(facet.members)
        shown = len(exemplars[position][:EXEMPLARS])
        cards.append(
            {
                "facet": facet,
                "share": f"{100 * facet.size / max(1, len(facet_set.ids)):.0f}\N{NO-BREAK SPACE}%",
                "visualization": None if rendered is None else rendered[position],
                "mean": means[position],
                "exemplars": [
                    {"uri": next(nearest), "id": names[place] if place < len(names) else ""} for place in range(shown)
                ],
                "start_at": axis.place(facet.activation_start),
                "end_at": axis.place(facet.activation),
                "ticks": axis.ticks(own, *OWN),
                "natural": histogram,
                "low": wording.number(axis.low),
                "high": wording.number(axis.high),
            }
        )
    return cards


def _natural(facet_set: FacetSet) -> Mapping[str, Any]:
    """Return how the unit's values on all images are spread; on its own images where a run has not counted."""
    if "natural" in facet_set.discovery:
        return facet_set.discovery["natural"]
    counts, edges = np.histogram(facet_set.activations, BINS)
    return {"images": len(facet_set.ids), "low": edges[0], "high": edges[-1], "counts": counts.tolist()}


def _map(facet_set: FacetSet, thumbnails: Sequence[Tensor | Image.Image]) -> dict[str, Any]:
    points, height = geometry.map_layout(facet_set.embedding)
    indices = [facet.index for facet in facet_set.facets]
    count = max(len(points), 1)
    return {
        "height": round(height, 1),
        "points": [
            (round(float(x), 1), round(float(y), 1), int(facet))
            for (x, y), facet in zip(points, facet_set.assignment, strict=True)
        ],
        "labels": geometry.label_places(points, facet_set.assignment, indices),
        "radius": round(float(np.clip(110 / np.sqrt(count), 3.5, 9.0)), 1),
        "sprite": sprite(thumbnails, *THUMBNAILS),
    }


def _data(facet_set: FacetSet, snapshots: Mapping[int, Tensor] | None) -> dict[str, Any]:
    """Return what the page's script needs; numbers are ready to read."""
    places = {name: place for place, name in enumerate(facet_set.ids)}
    steps = sorted(snapshots or {})
    if len(steps) > SNAPSHOTS:
        chosen = np.unique(np.linspace(0, len(steps) - 1, SNAPSHOTS).round().astype(int))
        steps = [steps[place] for place in chosen]
    count = len(facet_set)
    uris = embed([image for step in steps for image in (snapshots or {})[step]], *STEPS)
    return {
        "ids": list(facet_set.ids),
        "activations": [wording.number(value) for value in facet_set.activations],
        "facets": [facet.index for facet in facet_set.facets],
        "members": {
            str(facet.index): [places[name] for name in facet.members if name in places] for facet in facet_set.facets
        },
        "steps": [int(step) for step in steps],
        "snapshots": [uris[start : start + count] for start in range(0, len(uris), count)] if count else [],
    }


def _totals(facet_set: FacetSet) -> str:
    """Return the line below the title: how well the facets did together."""
    means = mean_numbers(facet_set)
    parts = []
    if "activation" in means:
        start = f"{wording.number(means['activation_start'])} → " if "activation_start" in means else ""
        parts.append(f"mean activation {start}{wording.number(means['activation'])}")
    if "probability" in means:
        parts.append(f"mean probability {wording.probability(means['probability'])}")
    if "argmax_share" in means:
        known = [facet.is_argmax for facet in facet_set.facets if facet.is_argmax is not None]
        parts.append(f"the layer's most active unit in {sum(known)} of {len(known)}")
    if judged.is_judged(facet_set):
        faithful = sum(facet.fidelity is True for facet in facet_set.facets)
        parts.append(
            f"{faithful} of {len(facet_set)} in their own facet to {facet_set.metrics.get('judge', 'the judge')}"
        )
    return " · ".join(parts)
