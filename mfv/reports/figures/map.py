"""The 2-D map of a unit's images: thumbnails framed in their facets' colours, with the facets' numbers and sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from mfv.reports import wording
from mfv.reports.figures.sheet import SIZE, SMALL, Figure, Sheet, cap_height, colours_of, text_width
from mfv.reports.geometry import label_places
from mfv.reports.images import square
from mfv.structures import Facet, FacetSet
from mfv.threads import in_threads

Box = tuple[float, float, float, float]  # left, top, width, height, in centimetres

CHIP, GAP, EDGE = 0.34, 0.05, 0.02
BORDER = 0.35  # between the outermost images' places and the edge
FLATTEST = 0.4  # the figure's height, as a share of its width, at least
WIDE = 12.0  # from this width on, sizes are called what they are: "17 images", else "17"
RADIUS = 0.06  # of a dot
SHOWN = 0.8  # the share of the images that the thumbnails are small enough for
FEWEST, MOST = 9, 45  # thumbnails side by side across the figure
AWAY = 1.25  # a thumbnail's sides that it may be moved, so that it covers no other
PIXELS_PER_CM = 400 / 2.54  # of thumbnails: what print shows


def map_figure(found: FacetSet, photographs: Sequence[Tensor], width: float = 17.5) -> Figure:
    """Draw the map of the codes with as many thumbnails as have room; the other images are dots.

    No thumbnail covers another or a number: it is moved aside by up to 1.25 of its sides, images nearest to their
    facets' centres first. The thumbnails are the largest with which four of five images have room. As a map's
    direction means nothing, its longest extent lies along the width.

    Args:
        found: the facets; not rendered ones do.
        photographs: (3, h, w) in [0, 1], one per image of `found.ids`.
        width: of the figure in centimetres.

    """
    if len(photographs) != len(found.ids):
        raise ValueError(f"{len(found.ids)} images need as many thumbnails, got {len(photographs)}")
    points, height = _layout(found.embedding, width)
    colours = dict(zip((facet.index for facet in found.facets), colours_of(found.facets), strict=True))
    labels = _label_boxes(found, points, width, height)
    order = _by_turns(found)
    side, corners = _room_for_thumbnails(points, order, labels, width, height)
    taken = [*labels, *((*corner, side, side) for corner in corners.values())]
    dots = _room_for_dots(points, [place for place in order if place not in corners], taken, width, height)
    sheet = Sheet(width, height)
    for place in order:
        if place not in corners:
            sheet.dot(*dots[place], RADIUS, colours[int(found.assignment[place])])
    pixels = math.ceil(side * PIXELS_PER_CM)
    small = in_threads(lambda place: square(photographs[place], pixels), corners)
    for (place, (x, y)), picture in zip(corners.items(), small, strict=True):
        sheet.picture(x, y, side, picture, frame=colours[int(found.assignment[place])])
    for facet, (x, y, across, down) in zip(found.facets, labels, strict=True):
        sheet.rectangle(x, y, across, down, fill="#ffffff", edge=colours[facet.index])
        sheet.chip(x, y, CHIP, str(facet.index), colours[facet.index], SIZE)
        baseline = y + down / 2 + cap_height(SMALL) / 2
        sheet.text(x + across - 0.07, baseline, _size(facet, width), SMALL, across="right")
    return sheet.figure


def _layout(embedding: np.ndarray, width: float) -> tuple[np.ndarray, float]:
    """Return the codes' places (n, 2) in a figure of this width, in centimetres, and the figure's height."""
    points = np.asarray(embedding, dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(points.sum(axis=1))
    points = np.where(finite[:, None], points, points[finite].mean(axis=0) if finite.any() else 0.0)
    points = points - points.mean(axis=0)
    axes = np.linalg.svd(points, full_matrices=False)[2] if len(points) > 1 else np.eye(2)
    points = points @ (axes * np.sign(axes[np.arange(2), np.abs(axes).argmax(axis=1)])[:, None]).T
    low, high = points.min(axis=0), points.max(axis=0)
    extent = np.maximum(high - low, 1e-9)
    room = width - 2 * BORDER
    height = float(np.clip(room * extent[1] / extent[0] + 2 * BORDER, FLATTEST * width, width))
    scale = min(room / extent[0], (height - 2 * BORDER) / extent[1]) if (high > low).any() else 0.0
    return (points - (low + high) / 2) * scale + [width / 2, height / 2], height


def _size(facet: Facet, width: float) -> str:
    return wording.images(facet.size) if width >= WIDE else str(facet.size)


def _label_boxes(found: FacetSet, points: np.ndarray, width: float, height: float) -> list[Box]:
    """Return where each facet's number and size stand: in its middle, or as near as no other stands."""
    middles = label_places(points, found.assignment, [facet.index for facet in found.facets])
    boxes: list[Box] = []
    for facet, (x, y) in zip(found.facets, middles, strict=True):
        chip = max(CHIP, text_width(str(facet.index), SIZE, bold=True) + 0.1)
        across = chip + text_width(_size(facet, width), SMALL) + 0.14
        tried = _around(x - across / 2, y - CHIP / 2, CHIP / 2, 40)
        free = (at for at in tried if _is_free(at, (across, CHIP), boxes, width, height))
        left, top = next(free, tried[0])
        boxes.append((left, top, across, CHIP))
    return boxes


def _by_turns(found: FacetSet) -> list[int]:
    """Return the images' places, one of each facet in turn, nearest to the centre first."""
    places = {id: place for place, id in enumerate(found.ids)}
    longest = max((facet.size for facet in found.facets), default=0)
    return [
        places[facet.members[turn]] for turn in range(longest) for facet in found.facets if turn < facet.size
    ]  # fmt: skip


def _room_for_thumbnails(
    points: np.ndarray, order: Sequence[int], labels: Sequence[Box], width: float, height: float
) -> tuple[float, dict[int, tuple[float, float]]]:
    """Return the side of the thumbnails and the corners of those that have room."""
    corners: dict[int, tuple[float, float]] = {}
    side = width / FEWEST
    for side in np.geomspace(width / FEWEST, width / MOST, 14).tolist():
        taken, corners = list(labels), {}
        rings = int(AWAY * 4)
        for place in order:
            x, y = (points[place] - side / 2).tolist()
            for at in _around(x, y, side / 4, rings):
                if _is_free(at, (side, side), taken, width, height):
                    corners[place] = at
                    taken.append((*at, side, side))
                    break
        if len(corners) >= SHOWN * len(order):
            break
    return side, corners


def _room_for_dots(
    points: np.ndarray, places: Sequence[int], taken: Sequence[Box], width: float, height: float
) -> dict[int, tuple[float, float]]:
    """Return where the other images' dots stand: at their own places, or beside what stands there."""
    taken, dots = list(taken), {}
    for place in places:
        x, y = (points[place] - RADIUS).tolist()
        tried = _around(x, y, RADIUS, 12)
        size = (2 * RADIUS, 2 * RADIUS)
        left, top = next((at for at in tried if _is_free(at, size, taken, width, height)), tried[0])
        taken.append((left, top, *size))
        dots[place] = (left + RADIUS, top + RADIUS)
    return dots


def _around(x: float, y: float, step: float, rings: int) -> list[tuple[float, float]]:
    """Return places around a point, nearest first: itself, then rings a step apart."""
    places = [(x, y)]
    for ring in range(1, rings + 1):
        angles = np.arange(8 * ring) * (2 * np.pi / (8 * ring))
        places += [
            (x + ring * step * math.cos(angle), y + ring * step * math.sin(angle)) for angle in angles.tolist()
        ]  # fmt: skip
    return places


def _is_free(
    at: tuple[float, float], size: tuple[float, float], taken: Sequence[Box], width: float, height: float
) -> bool:
    """Say whether a rectangle lies within the figure and clear of the others."""
    (left, top), (across, down) = at, size
    if left < EDGE or top < EDGE or left + across > width - EDGE or top + down > height - EDGE:
        return False
    return not any(
        left < x + w + GAP and x < left + across + GAP and top < y + h + GAP and y < top + down + GAP
        for x, y, w, h in taken
    )
