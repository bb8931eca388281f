"""Made-up images of known kinds, for tests and demonstrations: the right facets are known."""

import hashlib
import json
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from mfv.data.source import ImageSource
from mfv.errors import MfvError, nearest_names

Shade = np.ndarray  # (size, size) float in [0, 1]: 0 shows the first colour, 1 the second


class SyntheticImages(ImageSource):
    """Stripes, discs and the like in two random colours, labelled by their kind.

    Each image depends on the seed and its own number only; the kinds take turns.

    Args:
        count: how many images.
        kinds: which kinds (`KINDS` lists them); by default all.
        size: pixels of a side, at least 8.
        seed: 0 or more; another seed gives other images of the same kinds.
        max_bad_share: the share (0 to 1) of unreadable images that a run puts up with (there are none).

    """

    def __init__(
        self,
        count: int = 600,
        kinds: Sequence[str] | None = None,
        size: int = 128,
        seed: int = 0,
        max_bad_share: float = 0.01,
    ):
        kinds = tuple(kinds) if kinds is not None else tuple(KINDS)
        for kind in kinds:
            if kind not in KINDS:
                near = nearest_names(kind, KINDS) or list(KINDS)
                raise MfvError(f"data.kinds: there is no kind {kind!r}; did you mean {', '.join(near)}?")
        for name, value, least in (
            ("count", count, 1),
            ("kinds", len(kinds), 1),
            ("size", size, 8),
            ("seed", seed, 0),
        ):
            if value < least:
                raise MfvError(f"data.{name} is {value}; it is {least} or more")
        labels = [kinds[index % len(kinds)] for index in range(count)]
        ids = [f"{kind}/{index:06d}" for index, kind in enumerate(labels)]
        super().__init__("synthetic", ids, labels, max_bad_share=max_bad_share)
        self.size = size
        self.seed = seed

    @property
    def fingerprint(self) -> str:
        """A hash of the settings."""
        return hashlib.sha256(json.dumps([self.ids, self.size, self.seed]).encode()).hexdigest()

    def load(self, index: int) -> Image.Image:
        """Paint an image."""
        index = range(len(self))[index]
        random = np.random.default_rng((self.seed, index))
        shade = KINDS[self.ids[index].split("/")[0]](self.size, random)[..., None]
        first, second = _colours(random)
        return Image.fromarray(np.rint(255 * (first + (second - first) * shade)).astype(np.uint8))


def _colours(random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw two colours that differ by at least .4 in one channel."""
    first = random.random(3)
    second = random.random(3)
    channel = random.integers(3)
    second[channel] = (first[channel] + random.uniform(0.4, 0.6)) % 1.0
    return first, second


def _axes(size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return two coordinates, turned by a random angle and moved, that run over about 1 across the image."""
    y, x = np.mgrid[0:size, 0:size] / size
    angle = random.uniform(0, np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    return along + random.random(), across + random.random()


def _stripes(size: int, random: np.random.Generator) -> Shade:
    along, _ = _axes(size, random)
    return _soft_square_wave(along * random.uniform(4, 9), size)


def _checker(size: int, random: np.random.Generator) -> Shade:
    along, across = _axes(size, random)
    count = random.uniform(3, 6)
    first, second = _soft_square_wave(along * count, size), _soft_square_wave(across * count, size)
    return first + second - 2 * first * second


def _rings(size: int, random: np.random.Generator) -> Shade:
    y, x = np.mgrid[0:size, 0:size] / size
    top, left = random.uniform(0.3, 0.7, 2)
    return _soft_square_wave(np.hypot(y - top, x - left) * random.uniform(5, 10), size)


def _discs(size: int, random: np.random.Generator) -> Shade:
    y, x = np.mgrid[0:size, 0:size] / size
    shade = np.zeros((size, size))
    for _ in range(random.integers(4, 10)):
        (top, left), radius = random.uniform(0, 1, 2), random.uniform(0.06, 0.16)
        shade = np.maximum(shade, np.clip((radius - np.hypot(y - top, x - left)) * size + 0.5, 0, 1))
    return shade


def _gradient(size: int, random: np.random.Generator) -> Shade:
    along, _ = _axes(size, random)
    return (along - along.min()) / (along.max() - along.min())


def _noise(size: int, random: np.random.Generator) -> Shade:
    return random.random((size, size))


def _soft_square_wave(phase: np.ndarray, size: int) -> Shade:
    """Return bands with one dark and one bright per unit of phase; edges are about a pixel wide."""
    return np.clip(0.5 + np.sin(2 * np.pi * phase) * size / 64, 0, 1)


KINDS: dict[str, Callable[[int, np.random.Generator], Shade]] = {
    "stripes": _stripes,
    "checker": _checker,
    "rings": _rings,
    "discs": _discs,
    "gradient": _gradient,
    "noise": _noise,
}
