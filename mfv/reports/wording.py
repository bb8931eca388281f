"""How numbers read in sheets, pages and tables."""

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any

from mfv.structures import Facet

MISSING = "–"


def number(value: float | None) -> str:
    """Return an activation or metric in a few digits: "1240", "31.0", "0.42", "3e-05"; a dash for None."""
    if value is None:
        return MISSING
    value = float(value)
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size >= 999.95:
        return f"{value:.0f}"
    if size >= 0.995:
        return f"{value:.1f}"
    if size == 0 or size >= 0.01:
        return f"{value:.2f}"
    return f"{value:.0e}"


def ordinal(percentile: float | None) -> str:
    """Return "97th" for 96.8. Only exactly 0 and 100 are called so: 99.9 is "99th"."""
    if percentile is None:
        return MISSING
    whole = int(percentile) if percentile in (0, 100) else min(max(round(percentile), 1), 99)
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{whole}{'th' if 10 < whole < 14 else endings.get(whole % 10, 'th')}"


def probability(value: float | None) -> str:
    """Return a probability as ".92"; "<.01" and ">.99" at the ends."""
    if value is None:
        return MISSING
    if value < 0.01:
        return "<.01"
    return ">.99" if value >= 0.995 else f"{value:.2f}".lstrip("0")


def images(count: int) -> str:
    """Return "1 image", "17 images"."""
    return f"{count} image" if count == 1 else f"{count} images"


def caption(facet: Facet) -> str:
    """Return "facet 3 · 17 images · activation 4.2 → 31.0 (97th percentile) · p .92 · judge .85", as far as known.

    "looks like 5" is added where a judge takes the visualization for another facet's.
    """
    parts = [f"facet {facet.index}", images(facet.size)]
    if facet.activation is not None:
        start = "" if facet.activation_start is None else f"{number(facet.activation_start)} → "
        rank = "" if facet.natural_percentile is None else f" ({ordinal(facet.natural_percentile)} percentile)"
        parts.append(f"activation {start}{number(facet.activation)}{rank}")
    elif facet.activation_start is not None:
        parts.append(f"activation of the mean image {number(facet.activation_start)}")
    if facet.probability is not None:
        parts.append(f"p {probability(facet.probability)}")
    if facet.judge_probability is not None:
        parts.append(f"judge {probability(facet.judge_probability)}")
    if facet.fidelity is False:
        parts.append(f"looks like {facet.judge_nearest}")
    return " · ".join(parts)


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, the keys joined by "/"."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}/"))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def readable(value: Any) -> str:
    """Return a setting or metric of any kind as a short text."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Real):
        return number(float(value))
    if isinstance(value, (list, tuple)):
        return ", ".join(readable(item) for item in value)
    return str(value)
