"""Coarse structure first, and light before colour: the gradient in the proportions of natural images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class SpectralGradient(Regularizer):
    """Divide the gradient's amplitudes by frequency^exponent, and dampen and smooth its colour.

    The gradient of a network is mostly high frequencies, natural images mostly low ones (amplitudes
    fall like 1/f: exponent 1). The three channels of photographs rise and fall together, and their
    colours change more slowly than their light; a network's gradient treats the channels as strangers
    and paints rainbows and coloured speckle. A step along the filtered gradient is a step in a Fourier
    parameterization with decorrelated colours and those scales (Olah et al. 2017), taken in pixels. The
    light is the channels' mean, the colour what they differ from it.

    Attributes:
        exponent: 0 leaves the amplitudes as they are; .5 brings out shapes and light; 1 gives broad patches.
        chroma: what the colour is multiplied with: 1 leaves it as it is, 0 paints light only.
        blur: the standard deviation, in pixels, of the Gaussian that smooths the colour; 0 leaves it sharp.

    """

    exponent: Annotated[float, Interval(ge=-4, le=4), "an exponent"] = 0.5
    chroma: float = 1.0
    blur: Annotated[float, Ge(0), "a number of pixels"] = 0.0

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the filtered gradient; all filters take the image's edges to meet their opposites."""
        size = (gradient.shape[-2], gradient.shape[-1])
        amplitude, color = _filters(*size, self.exponent, self.blur, gradient.device)
        spectrum = torch.fft.rfft2(gradient)
        if self.chroma == 1 and not self.blur:
            spectrum.mul_(amplitude)
        else:
            color = self.chroma * color
            light = spectrum[:, 0] + spectrum[:, 1]  # three sums take a third of the time of a mean over the channels
            light = light.add_(spectrum[:, 2]).mul_((amplitude - color) / 3)[:, None]
            spectrum.mul_(color).add_(light)
        # one axis after the other: on a CPU less than two thirds of irfft2's time
        return torch.fft.irfft(torch.fft.ifft(spectrum, dim=-2), n=size[1])


@lru_cache(maxsize=8)
def _filters(height: int, width: int, exponent: float, blur: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what amplitudes of light and of colour are multiplied with, (height, width // 2 + 1) each."""
    vertical = torch.fft.fftfreq(height, device=device)[:, None]
    horizontal = torch.fft.rfftfreq(width, device=device)[None]
    frequency = (vertical.square() + horizontal.square()).sqrt()  # cycles per pixel
    amplitude = frequency.clamp_min(1 / max(height, width)).pow(-exponent)  # the mean like the lowest frequency
    return amplitude, amplitude * torch.exp(-2 * (math.pi * blur * frequency) ** 2)
