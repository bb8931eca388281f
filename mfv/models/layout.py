"""How a network's weights and the pixels it is shown lie in memory: channels last, or channels first."""

from __future__ import annotations

import torch
from torch import nn

from mfv.models.acceleration import AUTO, CHANNELS_FIRST, CHANNELS_LAST
from mfv.models.fusing import is_depthwise
from mfv.models.target import TargetModel

# Gradients of one image that a GPU takes channels first in the time that channels last are prepared for: 4.3 s for
# MobileNetV2, .057 ms sooner each (docs/performance.md).
MANY = 75_000

FORMATS = {CHANNELS_LAST: torch.channels_last, CHANNELS_FIRST: torch.contiguous_format}


def lay_out(model: TargetModel, gradients: int = 0, layout: str = AUTO) -> None:
    """Lay out a prepared network's weights, and say how pixels shall lie, for what is soonest where it is now.

    Channels last is faster, but for a depthwise convolution of each new size of batch cuDNN compiles kernels: seconds
    that only a long rendering makes up for.

    Args:
        model: changed in place: its weights and its `memory_format`.
        gradients: how many images' gradients it is to give; 0 where forward passes are all.
        layout: of `mfv.models.acceleration.LAYOUTS`; "auto" chooses.

    """
    known = soonest(model.network, model.mean.device, gradients) if layout == AUTO else layout
    model.memory_format = FORMATS[known]
    model.to(memory_format=model.memory_format)


def soonest(network: nn.Module, device: torch.device, gradients: int) -> str:
    """Return the layout in which so many images' gradients are there first, with what is prepared for them."""
    compiles = device.type == "cuda" and any(map(is_depthwise, network.modules()))
    return CHANNELS_FIRST if compiles and gradients < MANY else CHANNELS_LAST
