"""Less colour than light: the gradient in the proportions of natural images' channels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class ChromaGradient(Regularizer):
    """Scale the gradient's differences between the channels, and leave their mean as it is.

    The three channels of photographs rise and fall together; a network's gradient treats them as
    strangers and paints rainbows. A step along the filtered gradient is a step in decorrelated
    colours (Olah et al. 2017), with grey and colour as the two directions.

    Attributes:
        gain: of the colour against the light: 1 leaves the gradient as it is, 0 paints light only.

    """

    gain: float = 0.5

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the filtered gradient."""
        light = gradient.mean(1, keepdim=True)
        return light + self.gain * (gradient - light)
