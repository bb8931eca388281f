"""Regularizers: what keeps an optimized image natural. One file each; `Regularizer` says how to add one."""

from mfv.regularizers.affine import RandomAffine
from mfv.regularizers.base import Moment, Regularizer
from mfv.regularizers.blur import GaussianBlur
from mfv.regularizers.center_mask import CenterMask
from mfv.regularizers.decay import Decay
from mfv.regularizers.spectral import SpectralGradient
from mfv.regularizers.tv_bregman import TVBregman
from mfv.regularizers.tv_penalty import TVPenalty
from mfv.regularizers.tv_prox import TVProx

__all__ = [
    "CenterMask",
    "Decay",
    "GaussianBlur",
    "Moment",
    "RandomAffine",
    "Regularizer",
    "SpectralGradient",
    "TVBregman",
    "TVPenalty",
    "TVProx",
]
