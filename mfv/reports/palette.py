"""Facet colours that stay apart for colour-blind eyes and stand out from the page."""

from functools import cache

import numpy as np

LIGHT_GROUND = "#ffffff"
DARK_GROUND = "#15171c"
MINIMUM_CONTRAST = 3.0  # WCAG 2.1, 1.4.11: graphics against what lies beside them
MAXIMUM_CONTRAST = 13.0  # beyond it a colour is read as black or white
FIRST = "#0f6fc6"  # the first facet's colour is the candidate nearest to this blue
REPEAT = 48  # colours start again after so many facets

# Full loss of one kind of cone, on linear RGB: Machado, Oliveira, Fernandes 2009, table 1, severity 1.
VISION = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}

# Ottosson 2020, "A perceptual color space for image processing": linear RGB → cone response → OKLab.
TO_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
TO_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def facet_colours(count: int, ground: str = LIGHT_GROUND) -> list[str]:
    """Return `count` colours as "#rrggbb" for marks on `ground`; the first k are the same for every count.

    Each colour is the candidate farthest from the ones before it. The distance is the smallest over the three
    kinds of dichromatic vision and half of normal vision, which would else be free to see only shades of
    brown. All contrast with the ground by MINIMUM_CONTRAST.
    """
    colours = _ordered(ground)
    return [colours[index % REPEAT] for index in range(count)]


def distance(one: str, other: str) -> float:
    """Return the smallest OKLab distance of two colours over all kinds of vision; black to white is 1."""
    seen = _seen(np.stack([_rgb(one), _rgb(other)]))
    return float(np.linalg.norm(seen[:, 0] - seen[:, 1], axis=-1).min())


def contrast(one: str, other: str) -> float:
    """Return the WCAG contrast ratio of two colours, 1–21."""
    darker, brighter = sorted(_luminance(np.stack([_rgb(one), _rgb(other)])))
    return float((brighter + 0.05) / (darker + 0.05))


@cache
def _ordered(ground: str) -> tuple[str, ...]:
    candidates = _candidates(ground)
    seen = _seen(candidates)
    chosen = [int(np.argmin(np.linalg.norm(candidates - _rgb(FIRST), axis=1)))]
    nearest = np.full(len(candidates), np.inf)
    while len(chosen) < REPEAT:
        apart = np.linalg.norm(seen - seen[:, chosen[-1:]], axis=-1)
        to_last = np.minimum(apart[0] / 2, apart[1:].min(axis=0))
        nearest = np.minimum(nearest, to_last)
        chosen.append(int(np.argmax(nearest)))
    return tuple("#" + "".join(f"{round(255 * part):02x}" for part in candidates[index]) for index in chosen)


def _candidates(ground: str) -> np.ndarray:
    """Return (n, 3) sRGB colours of a grid, neither grey nor garish, that contrast with the ground."""
    levels = np.linspace(0, 1, 16)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), -1).reshape(-1, 3)
    chroma = np.linalg.norm(_oklab(_linear(grid))[:, 1:], axis=1)
    pair = np.stack([_luminance(grid), np.full(len(grid), _luminance(_rgb(ground)))])
    ratio = (pair.max(axis=0) + 0.05) / (pair.min(axis=0) + 0.05)
    return grid[(ratio >= MINIMUM_CONTRAST) & (ratio <= MAXIMUM_CONTRAST) & (chroma > 0.06) & (chroma < 0.21)]


def _seen(colours: np.ndarray) -> np.ndarray:
    """Return (kinds of vision, n, 3) OKLab coordinates of (n, 3) sRGB colours."""
    linear = _linear(colours)
    return np.stack([_oklab(linear @ matrix.T) for matrix in VISION.values()])


def _oklab(linear: np.ndarray) -> np.ndarray:
    return np.cbrt(linear.clip(0) @ TO_CONES.T) @ TO_OKLAB.T


def _linear(colours: np.ndarray) -> np.ndarray:
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def _luminance(colours: np.ndarray) -> np.ndarray:
    return _linear(colours) @ np.array([0.2126, 0.7152, 0.0722])


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) / 255
