"""One page over many units: a strip of each one's facets, to search, filter and sort, with a link to its gallery."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup
from PIL import Image

from mfv.replacing import replacing
from mfv.reports import wording
from mfv.reports.gallery import page_environment
from mfv.reports.images import square
from mfv.structures import FacetSet

STRIP = "strip.webp"  # beside a unit's gallery
TILE, MOST = 96, 24  # pixels of a facet in the strip; facets shown
QUALITY = 80


@dataclass(frozen=True)
class Entry:
    """What the index says of a unit."""

    layer: str
    index: int
    title: str  # the class's label, or "unit 12"
    folder: str  # of its gallery and its strip, as a part of a URL relative to the index
    facets: int
    images: int  # photographs
    activation: float | None  # mean of the visualizations
    percentile: float | None  # mean, among the natural images
    fidelity: float | None  # share of the facets
    classes: tuple[str, ...]  # what the judge calls the facets
    labels: tuple[str, ...] = ()  # of the facets' images

    @property
    def words(self) -> str:
        """What a search looks through."""
        return " ".join([self.layer, str(self.index), self.title, *self.classes, *self.labels]).lower()


def write_strip(facet_set: FacetSet, directory: Path) -> None:
    """Write a unit's facets side by side, small, for the index."""
    assert facet_set.images is not None, "a strip is of a rendered facet set"
    shown = facet_set.images[:MOST]
    strip = Image.new("RGB", (TILE * len(shown), TILE))
    for place, image in enumerate(shown):
        strip.paste(square(image, TILE), (TILE * place, 0))
    with replacing(directory / STRIP) as part:
        strip.save(part, format="WEBP", quality=QUALITY)


def write_index(
    entries: Sequence[Entry], root: Path, waiting: int = 0, failures: Iterable[str] = (), command: str = ""
) -> Path:
    """Write the page and return its place.

    Args:
        entries: of the units that are done.
        root: the page's folder.
        waiting: how many units are still to come.
        failures: what went wrong with units, a line each.
        command: what makes, or goes on with, the job.

    """
    path = root / "index.html"
    with replacing(path) as part:
        part.write_text(index_page(entries, waiting, failures, command), encoding="utf-8")
    return path


def index_page(entries: Sequence[Entry], waiting: int = 0, failures: Iterable[str] = (), command: str = "") -> str:
    """Return the page as HTML: it asks for nothing but the strips beside the galleries, and everything is escaped."""
    environment = page_environment()
    script = environment.get_template("index.js.jinja").render()
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    layers = list(dict.fromkeys(each.layer for each in entries))
    return environment.get_template("index.html.jinja").render(
        entries=entries,
        layers=layers,
        layer_places={layer: place for place, layer in enumerate(layers)},
        facets=sum(each.facets for each in entries),
        judged=any(each.fidelity is not None for each in entries),
        waiting=waiting,
        failures=list(failures),
        command=command,
        tile=TILE,
        strip=STRIP,
        most=MOST,
        missing=wording.MISSING,
        script=Markup(script),
        script_hash=f"sha256-{digest}",
    )


def read_entry(directory: Path, root: Path) -> Entry:
    """Return a finished unit's entry from its facets.json alone."""
    document = json.loads((directory / "facets.json").read_text(encoding="utf-8"))
    unit, facets = document["unit"], document["facets"]

    def mean(name: str) -> float | None:
        known = [facet[name] for facet in facets if facet.get(name) is not None]
        return sum(known) / len(known) if known else None

    return Entry(
        layer=unit["layer"],
        index=unit["index"],
        title=unit["label"] or f"unit {unit['index']}",
        folder=quote(directory.relative_to(root).as_posix()),
        facets=len(facets),
        images=document["discovery"]["images"],
        activation=mean("activation"),
        percentile=mean("natural_percentile"),
        fidelity=document["metrics"].get("fidelity"),
        classes=tuple(dict.fromkeys(facet["judge_class"] for facet in facets if facet.get("judge_class"))),
        labels=tuple(dict.fromkeys(label for facet in facets for label, _ in facet.get("labels", []))),
    )
