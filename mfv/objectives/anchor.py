"""What keeps an image in its facet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import torch
from annotated_types import Ge, Interval
from torch import Tensor
from torch.nn import functional as F

from mfv.activations.values import as_codes
from mfv.objectives.base import Objective, Subject
from mfv.objectives.saturation import saturated

ROUNDING = 1e-6  # of the mean code's length: what differs less does not differ
TEMPERATURE = 0.1  # of the soft maximum over the other facets' cosines


class FacetAnchor(Objective):
    """cos(φ(x) − φ̄, μ_k − φ̄): how far the image lies on its facet's side of the unit's images.

    φ is a layer's mean activation, φ̄ its mean over all the unit's images, μ_k over those of facet
    k. The paper only starts an image in its facet; without an anchor it drifts. Without a cap an image
    becomes more typical of its facet than any photograph, at the unit's expense (docs/rendering.md).
    A single facet differs from no other: its value is 0 everywhere.

    Args:
        layer: a layer's name, or "codes" for the one that the facets were found in, or "middle"
            for the model's middle layer.
        cap: the percentile (0–100) of the value on the facet's own photographs that is enough; None for no cap.
        beyond: what more than that counts, as a share (0–1).
        rivals: how much of the (soft) largest cosine with another facet is subtracted: with 1 the image must
            lie nearer to its own facet than to any other, with 0 only near its own.

    """

    origin: Tensor  # (units, d) φ̄; one unit, but where several are joined
    directions: Tensor  # (units · k, d) unit vectors along μ_k − φ̄
    enough: Tensor  # (units · k,) where the value is capped

    def __init__(
        self,
        layer: str = "codes",
        cap: Annotated[float | None, Interval(ge=0, le=100), "a percentile, or null"] = None,
        beyond: Annotated[float, Interval(ge=0, le=1), "a share"] = 0.1,
        rivals: Annotated[float, Ge(0)] = 0.0,
    ):
        super().__init__()
        self.layer, self.cap, self.beyond, self.rivals = layer, cap, beyond, rivals

    def bind(self, subject: Subject) -> FacetAnchor:
        """Compute φ̄, the facets' directions and the caps from the unit's images."""
        codes, assignment = subject.codes(self.layer).float(), subject.assignment()
        bound = FacetAnchor(subject.layer_name(self.layer), self.cap, self.beyond, self.rivals)
        bound.layers = (bound.layer,)
        origin = codes.mean(0)
        members = [assignment == facet for facet in range(subject.facets)]
        empty = torch.zeros_like(origin)
        means = [codes[rows].mean(0) - origin if rows.any() else empty for rows in members]
        bound.register_buffer("origin", origin[None])
        rounding = ROUNDING * float(origin.norm())  # a single facet's mean is all images': it has no direction
        bound.register_buffer("directions", F.normalize(torch.stack(means), dim=1, eps=max(1e-12, rounding)))
        enough = torch.full((subject.facets,), torch.inf)
        if self.cap is not None:
            natural = bound._value(codes, assignment)
            for facet, rows in enumerate(members):
                if rows.any():
                    enough[facet] = natural[rows].quantile(self.cap / 100)
        bound.register_buffer("enough", enough)
        return bound

    def joined(self, bound: Sequence[FacetAnchor], facets: int) -> FacetAnchor:
        """Keep every unit's facets."""
        every = FacetAnchor(self.layer, self.cap, self.beyond, self.rivals)
        every.layers = self.layers
        for name in ("origin", "directions", "enough"):
            every.register_buffer(name, torch.cat([getattr(one, name) for one in bound]))
        return every

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the (capped) value (n,)."""
        value = self._value(as_codes(activations[self.layer]), facets)
        return value if self.cap is None else saturated(value, self.enough[facets], self.beyond)

    def _value(self, codes: Tensor, facets: Tensor) -> Tensor:
        """Return the uncapped value (n,) of codes (n, d)."""
        units, count = len(self.origin), len(self.directions) // len(self.origin)
        unit, place = facets // count, (facets % count)[:, None]
        direction = F.normalize(codes - (self.origin if units == 1 else self.origin[unit]), dim=1)
        if not self.rivals or count < 2:
            return (direction * self.directions[facets]).sum(1)
        every = self.directions if units == 1 else self.directions.unflatten(0, (units, count))[unit]
        cosines = (direction[:, None] * every).sum(2)  # a sum of products: the same bits in any batch
        own = cosines.gather(1, place)[:, 0]
        others = cosines.scatter(1, place, -torch.inf)
        return own - self.rivals * TEMPERATURE * torch.logsumexp(others / TEMPERATURE, 1)
