"""Less colour than light: the gradient in the proportions of natural images' channels."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from mfv.errors import MfvError
from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class ChromaGradient(Regularizer):
    """Scale and blur the gradient's differences between the channels, and leave their mean as it is.

    The three channels of photographs rise and fall together, their colours change more slowly than
    their light; a network's gradient treats them as strangers and paints rainbows and coloured
    speckle. A step along the filtered gradient is a step in decorrelated colours (Olah et al. 2017),
    with grey and colour as the two directions.

    Attributes:
        gain: of the colour against the light: 1 leaves the gradient as it is, 0 paints light only.
        blur: the standard deviation, in pixels, of the Gaussian that smooths the colour; 0 leaves it sharp.

    """

    gain: float = 0.5
    blur: float = 1.5

    def __post_init__(self) -> None:
        if self.blur < 0:
            raise MfvError(f"the chroma's blur is {self.blur}; it is 0 or more pixels")

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the filtered gradient."""
        light = gradient.mean(1, keepdim=True)
        color = gradient - light
        radius = min(round(3 * self.blur), min(gradient.shape[-2:]) - 1)
        if radius > 0:
            color = gaussian_blur(color, [2 * radius + 1] * 2, [self.blur] * 2)
        return light + self.gain * color
