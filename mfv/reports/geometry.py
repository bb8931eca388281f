"""Where things lie in the page's drawings: the 2-D map and the strips of activations."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MAP_WIDTH, LOWEST, HIGHEST, BORDER = 1000.0, 560.0, 760.0, 36.0  # units of the map's viewBox
STRIP_WIDTH, STRIP_BORDER = 600.0, 10.0  # units of a strip's viewBox


def map_layout(embedding: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the points (n, 2) of a map MAP_WIDTH wide, and its height; both axes have one scale.

    A code that has no finite place is put in the middle.
    """
    points = np.asarray(embedding, dtype=np.float64).reshape(-1, 2)
    finite = np.isfinite(points.sum(axis=1))
    if not finite.any():
        return np.full(points.shape, [MAP_WIDTH / 2, LOWEST / 2]), LOWEST
    low, high = points[finite].min(axis=0), points[finite].max(axis=0)
    extent = np.maximum(high - low, 1e-12 * max(1.0, float(np.abs(points[finite]).max())))
    room = MAP_WIDTH - 2 * BORDER
    height = float(np.clip(room * extent[1] / extent[0] + 2 * BORDER, LOWEST, HIGHEST))
    scale = min(room / extent[0], (height - 2 * BORDER) / extent[1])
    centred = np.where(finite[:, None], points, (low + high) / 2) - (low + high) / 2
    if not (high > low).any():
        centred = np.zeros_like(centred)
    return centred * scale + [MAP_WIDTH / 2, height / 2], height


def label_places(points: np.ndarray, assignment: np.ndarray, indices: Sequence[int]) -> list[tuple[float, float]]:
    """Return for each facet the middle (median) of its points, where its number is written."""
    places = []
    for index in indices:
        own = points[assignment == index]
        middle = np.median(own, axis=0) if len(own) else [BORDER, BORDER]
        places.append((float(middle[0]), float(middle[1])))
    return places


@dataclass(frozen=True)
class Axis:
    """The scale that all strips share, in the unit's activation."""

    low: float
    high: float

    @classmethod
    def over(cls, *values: Sequence[float | None] | np.ndarray) -> "Axis":
        """Return the axis that holds all the finite values."""
        known = [float(value) for some in values for value in some if value is not None and np.isfinite(value)]
        return cls(min(known, default=0.0), max(known, default=1.0))

    def place(self, value: float | None) -> float | None:
        """Return the value's place along a strip; None where there is no finite value."""
        if value is None or not np.isfinite(value):
            return None
        share = (float(value) - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return round(STRIP_BORDER + share * (STRIP_WIDTH - 2 * STRIP_BORDER), 1)

    def bars(self, counts: Sequence[int], low: float, high: float, base: float, height: float) -> str:
        """Return an SVG path of a histogram: bars for equal parts from `low` to `high`, the highest `height` high."""
        edges = np.linspace(low, high, len(counts) + 1).tolist()
        most = max(counts, default=0) or 1
        path = []
        for count, left, right in zip(counts, edges, edges[1:], strict=False):
            start, end = self.place(left), self.place(right)
            if count and start is not None and end is not None:
                path.append(f"M{start:g} {base:g}v{-height * count / most:.1f}H{end:g}V{base:g}z")
        return "".join(path)

    def ticks(self, values: np.ndarray, top: float, height: float) -> str:
        """Return an SVG path with a tick for every finite value."""
        places = sorted({place for value in values if (place := self.place(value)) is not None})
        return "".join(f"M{place:g} {top:g}v{height:g}" for place in places)
