"""Total-variation denoising at the cost of one or two sweeps a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from mfv.errors import MfvError
from mfv.regularizers.base import Moment, Regularizer, UnitImages
from mfv.schedules import Schedule, value_at

IN_CACHE = 4  # images: 9 ms for ten of 224 pixels; 12 ms with all ten together, or one by one
_LINES = 4
_MEASURED = 32  # images at once
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
        sweeps: dual iterations each time.
        every: steps from one time to the next, which then has all their weights.
        most: an image that is rougher than it may be gets the weight times the square of the ratio of the two
            variations, up to so many times. With 1 all get the same: facets of plain photographs (a sky, the
            night) then come out speckled.
        rougher: how many times its facet's photographs' variation an image may have between two steps; what is left
            of it is less, as the last images are averaged.
        natural: (k,) the facets' photographs' variation; `bind` fills it in.

    """

    weight: Annotated[float | Schedule, Ge(0), "a number of grey levels"] = 0.3
    sweeps: Annotated[int, Ge(1), "a number of sweeps"] = 2
    every: Annotated[int, Ge(1), "a number of steps"] = 1
    most: Annotated[float, Ge(1), "a number of times"] = 1.0
    rougher: Annotated[float, Gt(0), "a number of times"] = 1.4
    natural: Tensor | None = field(default=None, repr=False, compare=False)

    def bind(self, subject: UnitImages) -> TVProx:
        """Measure how much the facets' photographs vary."""
        if self.most == 1:
            return self
        each = torch.cat([variation(some.float() / 255) for some in subject.pixels.split(_MEASURED)])
        assignment = subject.assignment()
        members = [each[assignment == facet] for facet in range(subject.facets)]
        return replace(self, natural=torch.stack([(own if len(own) else each).mean() for own in members]))

    def joined(self, bound: Sequence[TVProx]) -> TVProx | None:
        """Keep every facet's variation."""
        natural = [one.natural for one in bound if one.natural is not None and one == self]
        return replace(self, natural=torch.cat(natural)) if len(natural) == len(bound) else None

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the smoothed pixels."""
        weight = self.every * value_at(self.weight, moment.iteration, moment.iterations) / 255
        if weight <= 0 or moment.iteration % self.every:
            return pixels
        duals = moment.recall("tv_prox", 6)
        smooth = torch.empty_like(pixels)
        size = _at_once(pixels)
        parts = [whole.split(size) for whole in (smooth, pixels, duals)]
        weights = [weight] * len(parts[0]) if self.most == 1 else (weight * self._times(pixels, moment)).split(size)
        for result, image, dual, own in zip(*parts, weights, strict=True):
            denoise(result, image, dual, own, self.sweeps)
        moment.remember("tv_prox", duals)
        return smooth

    def _times(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return how many times the weight each image gets, (n, 1, 1, 1)."""
        if self.natural is None:
            raise MfvError("TVProx knows no photographs yet: call recipe.bind(subject) first, as render() does")
        natural = self.natural.to(pixels.device, non_blocking=True)[moment.numbers]  # a GPU is not waited for
        ratio = variation(pixels) / (self.rougher * natural).clamp_min(1e-6)
        return ratio.square().clamp(1, self.most)[:, None, None, None]


def variation(pixels: Tensor) -> Tensor:
    """Return the mean absolute difference of vertical neighbours plus that of horizontal ones, (n,) of (n, c, h, w).

    Every fourth line is asked, and the one below it: all of them would cost 2 % of a step.
    """
    line, below = pixels[..., :-1:_LINES, :], pixels[..., 1::_LINES, :]
    # Sums of lines in double precision, as their order follows from the batch's size.
    differences = [below - line, line[..., 1:] - line[..., :-1]]
    lines = [part.abs_().sum(-1).flatten(1).sum(1, dtype=torch.float64) / part[0].numel() for part in differences]
    return (lines[0] + lines[1]).to(pixels.dtype)


def denoise(smooth: Tensor, pixels: Tensor, duals: Tensor, weight: float | Tensor, sweeps: int) -> None:
    """Write argmin_u ½‖u − pixels‖² + weight·TV(u) into `smooth`, from `duals`, which are brought up to date.

    Args:
        smooth: (n, c, h, w), overwritten.
        pixels: (n, c, h, w).
        duals: (n, 2c, h, w): of the differences down, then to the right; changed.
        weight: in units of the pixels; one for all, or (n, 1, 1, 1).
        sweeps: steps of projected gradient ascent.

    """
    vertical, horizontal = duals.split(pixels.shape[1], 1)
    length = torch.empty_like(pixels)
    for _ in range(sweeps):
        add_divergence(smooth, pixels, vertical, horizontal)
        vertical[..., :-1, :].add_(smooth[..., 1:, :], alpha=_STEP).sub_(smooth[..., :-1, :], alpha=_STEP)
        horizontal[..., :-1].add_(smooth[..., 1:], alpha=_STEP).sub_(smooth[..., :-1], alpha=_STEP)
        torch.mul(vertical, vertical, out=length).addcmul_(horizontal, horizontal)
        shrink = length.sum(1, keepdim=True).sqrt_().div_(weight).clamp_min_(1).reciprocal_()
        duals.mul_(shrink)
    add_divergence(smooth, pixels, vertical, horizontal)


def add_divergence(result: Tensor, pixels: Tensor, vertical: Tensor, horizontal: Tensor) -> None:
    """Write pixels + the divergence of a field into `result`: minus the transpose of forward differences.

    The last row's difference down and the last column's to the right are none: what the field has there is not used.
    """
    result.copy_(pixels)
    result[..., :-1, :].add_(vertical[..., :-1, :])
    result[..., 1:, :].sub_(vertical[..., :-1, :])
    result[..., :-1].add_(horizontal[..., :-1])
    result[..., 1:].sub_(horizontal[..., :-1])


def _at_once(pixels: Tensor) -> int:
    """Return how many images to work on together: on a CPU few enough to stay in its cache."""
    return IN_CACHE if pixels.device.type == "cpu" else max(1, len(pixels))
