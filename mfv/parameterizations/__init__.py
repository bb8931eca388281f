"""Parameterizations: what the optimizer moves to change an image. `Parameterization` says how to add one."""

from mfv.parameterizations.base import Parameterization
from mfv.parameterizations.color import ColorBasis
from mfv.parameterizations.fourier import Fourier
from mfv.parameterizations.phase import FixedMagnitude
from mfv.parameterizations.pixels import Pixels

__all__ = ["ColorBasis", "FixedMagnitude", "Fourier", "Parameterization", "Pixels"]
