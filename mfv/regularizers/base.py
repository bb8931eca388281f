"""What a regularizer is, and what it may know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from mfv.limits import Checked


class Moment(Protocol):
    """The present step of the optimization, as a regularizer sees it."""

    @property
    def iteration(self) -> int:
        """The number of the step within its octave, from 0."""
        ...

    @property
    def iterations(self) -> int:
        """The octave's number of steps."""
        ...

    @property
    def mean_color(self) -> Tensor:
        """The model's own mean colour (1, 3, 1, 1) in [0, 1]: what is zero for the network."""
        ...

    @property
    def facets(self) -> Tensor:
        """The facet that each image stands for (n,)."""
        ...

    @property
    def numbers(self) -> Tensor:
        """The same, but of several units whose regularizers are joined numbered through (n,)."""
        ...

    def uniform(self, key: str, count: int) -> Tensor:
        """Return (n, count) numbers in [0, 1): each image's own, whatever batch it is in."""
        ...

    def normal(self, key: str, count: int) -> Tensor:
        """Return (n, count) standard normal numbers: each image's own."""
        ...

    def seeds(self, key: str) -> list[int]:
        """Return a seed for each image, of a generator of its own: without waiting for the device."""
        ...

    def recall(self, key: str, channels: int) -> Tensor:
        """Return what `remember` kept of these pixels (n, channels, h, w): it moves with the jitter; zeros at first.

        It may be changed in place, and is then given to `remember`.
        """
        ...

    def remember(self, key: str, memory: Tensor) -> None:
        """Keep a tensor (n, channels, h, w) with the pixels until the next step."""
        ...


class UnitImages(Protocol):
    """The unit's images, as a regularizer that learns from them may ask for them when it is bound."""

    @property
    def pixels(self) -> Tensor:
        """The images as the network is shown them, (n, 3, H, W) uint8."""
        ...

    @property
    def facets(self) -> int:
        """The number of facets."""
        ...

    def assignment(self) -> Tensor:
        """Return the facet of each image (n,)."""
        ...


class Regularizer(Checked):
    """Keeps an image natural while it is optimized. Override what applies; each acts image by image.

    Within a step the four are called in this order, on the part of the canvas that the network sees:
    `transform` before the network, `penalty` into the objective, `gradient` on the objective's
    gradient with respect to the pixels, `project` after the pixels have moved.
    """

    def bind(self, subject: UnitImages) -> Regularizer:
        """Return the regularizer with what it learns from the unit's images, before the first step; here nothing."""
        return self

    def joined(self, bound: Sequence[Any]) -> Regularizer | None:
        """Return one regularizer for the images of several units at once; None where each is to be asked for its own.

        Args:
            bound: the units' regularizers, of this class and with these settings, this one first. What it holds of
                their facets is then asked for by `Moment.numbers`: the first unit's, then the second's.

        """
        return None

    def transform(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return what the network is shown for pixels (n, 3, h, w), differentiably."""
        return pixels

    def penalty(self, pixels: Tensor, moment: Moment) -> Tensor | float:
        """Return what is subtracted from each image's objective (n,), differentiably."""
        return 0.0

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the gradient (n, 3, h, w) that the step follows in place of `gradient`."""
        return gradient

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the pixels (n, 3, h, w) after the step, in [0, 1] or to be clipped to it."""
        return pixels
