"""The statistics of the facet's own photographs."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mfv.objectives.base import Objective, Subject


class DistributionAlignment(Objective):
    """Minus the distance of a layer's channel statistics from those of the facet's photographs (after VITAL, 2025).

    Per channel the mean and the standard deviation over the map; the distance is the mean square of
    the differences, each in units of its own spread over the unit's photographs: about 1 for a
    photograph taken at random, less for one of the facet.

    Args:
        layer: the layer's name, "codes" or "middle".

    """

    targets: Tensor  # (k, 2C)
    spreads: Tensor  # (2C,)

    def __init__(self, layer: str = "middle"):
        super().__init__()
        self.layer = layer

    def bind(self, subject: Subject) -> DistributionAlignment:
        """Measure the photographs."""
        bound = DistributionAlignment(subject.layer_name(self.layer))
        bound.layers = (bound.layer,)
        natural = subject.reduced(self.layer, channel_statistics)
        spreads = natural.std(0, unbiased=False)
        bound.register_buffer("targets", subject.facet_means(self.layer, channel_statistics))
        bound.register_buffer("spreads", torch.where(spreads > 1e-6, spreads, torch.inf))  # silent channels say nothing
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return minus the distance (n,)."""
        difference = (channel_statistics(activations[self.layer]) - self.targets[facets]) / self.spreads
        return -difference.square().sum(1) / self.spreads.isfinite().sum().clamp_min(1)


def channel_statistics(activation: Tensor) -> Tensor:
    """Return means and standard deviations over the map, (n, 2C); of codes (n, C) the values alone."""
    if activation.ndim == 2:
        return activation
    places = activation.flatten(2) if activation.ndim == 4 else activation.transpose(1, 2)
    variance = places.var(2, unbiased=False)
    return torch.cat([places.mean(2), (variance + 1e-6).sqrt()], 1)
