"""Spectra of images: their frequencies, and how strong each is in photographs."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import as_file, files

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from mfv.parameterizations.color import ColorBasis

PHOTOGRAPHS = "photographs.safetensors"  # beside this module; scripts/spectrum.py writes it


@lru_cache(maxsize=16)
def frequency_scale(side: int, exponent: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return 1/frequency^exponent for half a spectrum (side, side//2 + 1).

    Frequencies are in cycles per pixel; the mean's, 0, counts as the lowest other one, 1/side.
    """
    with torch.inference_mode(False):  # as it is kept, gradients must be able to use it later
        vertical = torch.fft.fftfreq(side, dtype=torch.float64, device="cpu")[:, None]
        horizontal = torch.fft.rfftfreq(side, dtype=torch.float64, device="cpu")[None]
        frequency = (vertical.square() + horizontal.square()).sqrt().clamp_min(1 / side)
        return frequency.pow(-exponent).to(dtype=dtype, device=device)


def transformed(images: Tensor) -> Tensor:
    """Return half the orthonormal Fourier transform of images (n, c, H, H): complex (n, c, H, H//2 + 1)."""
    if not len(images):  # a process without images: the library does not take an empty batch
        return torch.view_as_complex(images.new_zeros(*images.shape[:-1], images.shape[-1] // 2 + 1, 2))
    return torch.fft.rfft2(images, norm="ortho")


def restored(transform: Tensor) -> Tensor:
    """Return the images (n, c, H, H) of half their transform (n, c, H, H//2 + 1)."""
    side = transform.shape[-2]
    if not len(transform):
        return transform.real.new_zeros(*transform.shape[:-1], side)
    return torch.fft.irfft2(transform, s=(side, side), norm="ortho")


def mean_spectrum(pixels: Tensor, basis: ColorBasis) -> Tensor:
    """Return how strong each frequency is on average in images (n, 3, H, H) in bytes, (3, H, H//2 + 1).

    It is the magnitude of the coordinates' orthonormal Fourier transform times the frequency:
    about the same at all frequencies of natural images, whose amplitudes fall like 1/f.
    """
    side = pixels.shape[-1]
    total = torch.zeros(3, side, side // 2 + 1)
    for batch in pixels.split(16):
        coordinates = basis.unsquash(batch.cpu().float() / 255)
        total += transformed(coordinates).abs().sum(0)
    return total / len(pixels) / frequency_scale(side, 1.0, total.dtype, total.device)


def resampled_spectrum(spectrum: Tensor, side: int) -> Tensor:
    """Return a spectrum (3, h, h//2 + 1) for images of another side, bilinearly by cycles per pixel."""
    stored = spectrum.shape[1]
    if stored == side:
        return spectrum
    flat = spectrum.clone()
    flat[:, 0, 0] = (spectrum[:, 0, 1] + spectrum[:, 1, 0]) / 2  # the mean colour is of another kind: left out
    flat = torch.fft.fftshift(flat, dim=1)
    flat = torch.cat([flat, flat[:, :1]], 1) if stored % 2 == 0 else flat  # −1/2 and 1/2 cycles are the same
    highest = (stored // 2) / stored
    vertical, horizontal = torch.fft.fftfreq(side) / highest, torch.fft.rfftfreq(side) / highest * 2 - 1
    grid = torch.stack(torch.meshgrid(horizontal, vertical, indexing="xy"), -1)[None]
    result = F.grid_sample(flat[None], grid, padding_mode="border", align_corners=True)[0]
    result[:, 0, 0] = spectrum[:, 0, 0]
    return result


@cache
def photographs_spectrum() -> Tensor:
    """Return the spectrum (3, 224, 113) of scikit-image's and scikit-learn's photographs, in ImageNet's colour axes.

    Half of it is stored: photographs and their mirror images count alike.
    """
    with as_file(files("mfv.parameterizations") / PHOTOGRAPHS) as path:
        quarter = load_file(path)["spectrum"].float()
    return torch.cat([quarter, quarter[:, 1:-1].flip(1)], 1)
