"""Only the phases: every frequency as strong as in photographs, where it lies is free."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from mfv.parameterizations.base import Parameterization, UnitImages, square_side
from mfv.parameterizations.color import ColorBasis, named_basis
from mfv.parameterizations.spectrum import (
    frequency_scale,
    mean_spectrum,
    photographs_spectrum,
    resampled_spectrum,
    restored,
    transformed,
)

FAINT = 1e-4  # of a frequency's magnitude: below, an image says nothing about the phase
LARGEST_COSINE = 0.99  # of a phase that only its cosine is seen of: at 1 it would have no slope


@dataclass(frozen=True)
class FixedMagnitude(Parameterization):
    """Phases of a Fourier transform whose magnitudes are fixed (MACO, Fel et al. 2023).

    The magnitudes are the mean ones of photographs, in the space before the sigmoid (`ColorBasis`).
    The phases (n, 3, H, H//2 + 1) are in radians. An image that one starts from keeps its phases,
    and so its shapes; its magnitudes are replaced. Four coefficients are real: the mean colour and
    the three finest, whose magnitude is a bound (they are magnitude · cos phase).

    Attributes:
        spectrum: whose magnitudes: "images" (the unit's own; before it is bound, the photographs')
            or "photographs" (those that come with scikit-image and scikit-learn).
        color: the colour axes: "imagenet", "images" (those of the unit's images) or "none" (RGB).

    """

    spectrum: Literal["images", "photographs"] = "images"
    color: Literal["imagenet", "images", "none"] = "imagenet"
    basis: ColorBasis | None = field(default=None, repr=False)
    values: Tensor | None = field(default=None, repr=False, compare=False)
    _magnitudes: dict[tuple[int, torch.dtype, torch.device], Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        if self.basis is None:
            object.__setattr__(self, "basis", named_basis(self.color))

    def bind(self, subject: UnitImages) -> FixedMagnitude:
        """Take the magnitudes, and where wanted the colour axes, of the unit's images."""
        assert self.basis is not None
        basis = ColorBasis.of(subject.pixels).normalized if self.color == "images" else self.basis
        values = mean_spectrum(subject.pixels, basis) if self.spectrum == "images" else None
        return replace(self, basis=basis, values=values)

    def magnitude(self, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Return the magnitudes (3, side, side//2 + 1) of the coordinates' orthonormal Fourier transform."""
        key = (side, dtype, device)
        if key not in self._magnitudes:
            with torch.inference_mode(False):  # as they are kept, gradients must be able to use them later
                values = photographs_spectrum() if self.values is None else self.values
                values = resampled_spectrum(values, side).to(dtype=dtype, device=device)
                self._magnitudes[key] = values * frequency_scale(side, 1.0, dtype, device)
        return self._magnitudes[key]

    def encode(self, pixels: Tensor) -> Tensor:
        """Return the phases (n, 3, H, H//2 + 1) of the images; a flat image, without any, gets fixed random ones."""
        assert self.basis is not None
        side = square_side(pixels)
        magnitude = self.magnitude(side, pixels.dtype, pixels.device)
        transform = transformed(self.basis.unsquash(pixels))
        random = torch.rand(magnitude.shape, generator=torch.Generator("cpu").manual_seed(0), device="cpu")
        random = (2 * random - 1).to(magnitude) * torch.pi
        phases = torch.where(transform.abs() > FAINT * magnitude, transform.angle(), random)
        share = transform.real / magnitude.clamp_min(torch.finfo(pixels.dtype).tiny)
        seen = share.clamp(-LARGEST_COSINE, LARGEST_COSINE).acos()
        return torch.where(_own_conjugates(side, pixels.device), seen, phases)

    def decode(self, parameters: Tensor) -> Tensor:
        """Return the images (n, 3, H, H)."""
        assert self.basis is not None
        magnitude = self.magnitude(parameters.shape[2], parameters.dtype, parameters.device)
        phases = _consistent(parameters)
        return self.basis.squash(restored(torch.complex(magnitude * phases.cos(), magnitude * phases.sin())))


def _consistent(phases: Tensor) -> Tensor:
    """Return the phases with the ones that a real image ties to others taken from those: φ(−f) = −φ(f).

    Half a spectrum holds both f and −f in its first column and, for an even side, in its last.
    """
    side = phases.shape[2]
    result = phases.clone()
    for column in (0, side // 2) if side % 2 == 0 else (0,):
        result[:, :, side // 2 + 1 :, column] = -phases[:, :, 1 : (side + 1) // 2, column].flip(-1)
    return result


def _own_conjugates(side: int, device: torch.device) -> Tensor:
    """Return where f and −f are the same, (side, side//2 + 1): the coefficients that are real."""
    rows, columns = torch.arange(side, device=device)[:, None], torch.arange(side // 2 + 1, device=device)[None]
    return (2 * rows % side == 0) & (2 * columns % side == 0)
