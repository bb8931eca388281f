"""Coarse structure first: the gradient in the proportions of natural images' spectra."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer


@dataclass(frozen=True)
class SpectralGradient(Regularizer):
    """Divide the gradient's amplitudes by frequency^exponent.

    The gradient of a network is mostly high frequencies, natural images mostly low ones (amplitudes
    fall like 1/f: exponent 1). A step along the filtered gradient is a step in a Fourier
    parameterization with those scales (Olah et al. 2017), taken in pixels.

    Attributes:
        exponent: 0 leaves the gradient as it is; .5 brings out shapes and light; 1 gives broad colours.

    """

    exponent: float = 0.5

    def gradient(self, gradient: Tensor, moment: Moment) -> Tensor:
        """Return the filtered gradient."""
        height, width = gradient.shape[-2:]
        vertical = torch.fft.fftfreq(height, device=gradient.device)[:, None]
        horizontal = torch.fft.rfftfreq(width, device=gradient.device)[None]
        frequency = (vertical.square() + horizontal.square()).sqrt().clamp_min(1 / max(height, width))
        spectrum = torch.fft.rfft2(gradient) * frequency.pow(-self.exponent)
        return torch.fft.irfft2(spectrum, s=(height, width))
