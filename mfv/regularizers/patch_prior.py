"""Pulled toward what the facet's own images are made of."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Tensor

from mfv.errors import MfvError
from mfv.regularizers.base import Moment, Regularizer, UnitImages
from mfv.regularizers.patches import PatchDatabase
from mfv.schedules import Schedule, value_at

_MEMORY = "patch_prior"


@dataclass(frozen=True)
class PatchPrior(Regularizer):
    """Pull each patch toward the nearest one of natural images, after every step (Wei et al. 2015).

    Half-quadratic splitting: from time to time the image is put together from the nearest patches,
    overlaps averaged; between, each step goes a share of the way toward that.

    Attributes:
        weight: the share, 0–1. May follow a schedule.
        size: a patch's side, in pixels.
        stride: pixels from one patch to the next.
        every: steps between two searches for the nearest patches.
        count: patches per facet, drawn at random from its images.
        components: principal components that the distances are measured in.
        own: whether each facet's patches come from its own images; else all from all of the unit's.
        database: the patches; `bind` fills it in.

    """

    weight: Annotated[float | Schedule, Interval(ge=0, le=1), "a share"] = 0.01
    size: Annotated[int, Ge(1), "a number of pixels"] = 8
    stride: Annotated[int, Ge(1), "a number of pixels"] = 4
    every: Annotated[int, Ge(1), "a number of steps"] = 5
    count: Annotated[int, Ge(1), "a number of patches"] = 2000
    components: Annotated[int, Ge(1), "a number of components"] = 32
    own: bool = True
    database: PatchDatabase | None = field(default=None, repr=False, compare=False)

    def bind(self, subject: UnitImages) -> PatchPrior:
        """Draw the patches from the unit's images."""
        images, assignment = subject.pixels.float() / 255, subject.assignment()
        whole = torch.arange(len(images))
        groups = []
        for facet in range(subject.facets):
            rows = (assignment == facet).nonzero()[:, 0]
            groups.append(rows if self.own and len(rows) else whole)
        size = min(self.size, *images.shape[-2:])
        return replace(self, database=PatchDatabase(images, groups, size, self.count, self.components))

    def project(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the pixels, a step nearer to the facet's patches."""
        if moment.iteration % self.every == 0:
            moment.remember(_MEMORY, self._explained(pixels, moment))
        target, known = moment.recall(_MEMORY, 4).split((3, 1), 1)
        weight = value_at(self.weight, moment.iteration, moment.iterations)
        return pixels + weight * known * (target - pixels)

    def _explained(self, pixels: Tensor, moment: Moment) -> Tensor:
        """Return the images put together from patches, and a mask of where they are known (n, 4, h, w)."""
        if self.database is None:
            raise MfvError("the patch prior has no patches yet: call its bind(subject) first, as render() does")
        self.database.to(pixels.device)
        parts = []
        # One by one: each image has its own facet's patches, and a product's bits depend on its shape.
        for image, facet in zip(pixels.split(1), moment.facets.split(1), strict=True):
            target, known = self.database.explained(image, facet, self.stride)
            parts.append(torch.cat([target, known.to(target)], 1))
        return torch.cat(parts)
