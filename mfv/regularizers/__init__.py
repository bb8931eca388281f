"""Regularizers: what keeps an optimized image natural. One file each; `Regularizer` says how to add one."""

from mfv.regularizers.affine import RandomAffine
from mfv.regularizers.alpha_norm import AlphaNorm
from mfv.regularizers.base import Moment, Regularizer, UnitImages
from mfv.regularizers.blur import GaussianBlur
from mfv.regularizers.center_mask import CenterMask
from mfv.regularizers.clipping import SmallContributionClipping, SmallNormClipping
from mfv.regularizers.decay import Decay
from mfv.regularizers.gaussian_noise import GaussianNoise
from mfv.regularizers.jitter import Jitter
from mfv.regularizers.l2_penalty import L2Penalty
from mfv.regularizers.padding import Padding
from mfv.regularizers.patch_prior import PatchPrior
from mfv.regularizers.random_crop import RandomCrop
from mfv.regularizers.random_scale import RandomScale
from mfv.regularizers.spectral import SpectralGradient
from mfv.regularizers.step_bounds import StepBounds
from mfv.regularizers.tone import RandomTone
from mfv.regularizers.tv_bregman import TVBregman
from mfv.regularizers.tv_penalty import TVPenalty
from mfv.regularizers.tv_prox import TVProx

__all__ = [
    "AlphaNorm",
    "CenterMask",
    "Decay",
    "GaussianBlur",
    "GaussianNoise",
    "Jitter",
    "L2Penalty",
    "Moment",
    "Padding",
    "PatchPrior",
    "RandomAffine",
    "RandomCrop",
    "RandomScale",
    "RandomTone",
    "Regularizer",
    "SmallContributionClipping",
    "SmallNormClipping",
    "SpectralGradient",
    "StepBounds",
    "TVBregman",
    "TVPenalty",
    "TVProx",
    "UnitImages",
]
