"""What keeps an image in its facet."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mfv.activations.values import as_codes
from mfv.objectives.base import Objective, Subject


class FacetAnchor(Objective):
    """cos(φ(x) − φ̄, μ_k − φ̄): how far the image lies on its facet's side of the unit's images.

    φ is a layer's mean activation, φ̄ its mean over all the unit's images, μ_k over those of facet
    k. The paper only starts an image in its facet; without an anchor it drifts (docs/rendering.md).

    Args:
        layer: a layer's name, or "codes" for the one that the facets were found in, or "middle"
            for the model's middle layer.

    """

    origin: Tensor  # (d,) φ̄
    directions: Tensor  # (k, d) unit vectors along μ_k − φ̄

    def __init__(self, layer: str = "codes"):
        super().__init__()
        self.layer = layer

    def bind(self, subject: Subject) -> FacetAnchor:
        """Compute φ̄ and the facets' directions from the unit's images."""
        codes, assignment = subject.codes(self.layer).float(), subject.assignment()
        bound = FacetAnchor(subject.layer_name(self.layer))
        bound.layers = (bound.layer,)
        origin = codes.mean(0)
        empty = torch.zeros_like(origin)
        means = [
            codes[assignment == facet].mean(0) - origin if (assignment == facet).any() else empty
            for facet in range(subject.facets)
        ]
        bound.register_buffer("origin", origin)
        bound.register_buffer("directions", F.normalize(torch.stack(means), dim=1))
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the cosine (n,)."""
        offset = as_codes(activations[self.layer]) - self.origin
        return (F.normalize(offset, dim=1) * self.directions[facets]).sum(1)
