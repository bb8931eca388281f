"""An image with given codes."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from mfv.activations.values import as_codes
from mfv.objectives.base import Objective, Subject


class CodeInversion(Objective):
    """−‖φ(x) − φ₀‖² / ‖φ₀‖², with φ₀ the facet's mean code (Mahendran & Vedaldi 2015, equation 1).

    Args:
        layer: whose mean activation φ is: a name, "codes" or "middle".

    """

    targets: Tensor  # (k, d)

    def __init__(self, layer: str = "codes"):
        super().__init__()
        self.layer = layer

    def bind(self, subject: Subject) -> CodeInversion:
        """Compute the facets' mean codes."""
        bound = CodeInversion(subject.layer_name(self.layer))
        bound.layers = (bound.layer,)
        bound.register_buffer("targets", subject.facet_means(self.layer, as_codes))
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return minus the relative squared distance (n,)."""
        target = self.targets[facets]
        distance = (as_codes(activations[self.layer]) - target).square().sum(1)
        return -distance / target.square().sum(1).clamp_min(1e-12)
