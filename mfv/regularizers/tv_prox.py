"""Total-variation denoising at the cost of one or two sweeps a step."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mfv.regularizers.base import Moment, Regularizer
from mfv.schedules import Schedule, value_at

_STEP = 0.25  # for the dual ascent; 1/4 converges in practice, 1/8 is the proven bound (Chambolle 2004)


@dataclass(frozen=True)
class TVProx(Regularizer):
    """Take a proximal step of colour total variation: argmin_u ½‖u − x‖² + weight·TV(u).

    Projected gradient ascent on the dual (Chambolle 2004), whose variables are kept from step to
    step and move along with the jitter: as the image changes little in a step, one or two sweeps
    from there smooth like ten from zero. The three channels share one edge (vectorial TV), so
    colours do not drift apart.

    Attributes:
        weight: in grey levels (0–255) per step; more is flatter. May follow a schedule.
        sweeps: dual iterations a step.

    """

    weight: float | Schedule = 0.3
    sweeps: int = 2

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the smoothed pixels."""
        weight = value_at(self.weight, moment.iteration, moment.iterations) / 255
        if weight <= 0:
            return pixels
        vertical, horizontal = moment.recall("tv_prox", 6).split(3, 1)
        for _ in range(self.sweeps):
            smooth = pixels + divergence(vertical, horizontal)
            down, right = differences(smooth)
            vertical, horizontal = vertical.add(down, alpha=_STEP), horizontal.add(right, alpha=_STEP)
            norm = (vertical.square().sum(1, keepdim=True) + horizontal.square().sum(1, keepdim=True)).sqrt()
            shrink = norm.div_(weight).clamp_min_(1)
            vertical, horizontal = vertical.div_(shrink), horizontal.div_(shrink)
        moment.remember("tv_prox", torch.cat([vertical, horizontal], 1))
        return pixels + divergence(vertical, horizontal)


def differences(pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Return forward differences down and to the right, (n, c, h, w) each, zero at the last row or column."""
    down, right = torch.zeros_like(pixels), torch.zeros_like(pixels)
    torch.sub(pixels[..., 1:, :], pixels[..., :-1, :], out=down[..., :-1, :])
    torch.sub(pixels[..., 1:], pixels[..., :-1], out=right[..., :-1])
    return down, right


def divergence(vertical: Tensor, horizontal: Tensor) -> Tensor:
    """Return the divergence of a field, minus the transpose of `differences`."""
    result = vertical + horizontal
    result[..., 1:, :] -= vertical[..., :-1, :]
    result[..., 1:] -= horizontal[..., :-1]
    result[..., -1, :] -= vertical[..., -1, :]
    result[..., -1] -= horizontal[..., -1]
    return result
