"""Unlike the other facets: in texture, or in codes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mfv.activations.values import as_codes
from mfv.objectives.base import Objective, Subject


class GramDiversity(Objective):
    """−mean_j cos(Gram(x), Gram_j) over the other facets j: another texture than theirs (Olah et al. 2017).

    Published, the images of a batch repel one another. Here each is held against the mean Gram matrix
    of the other facets' own photographs: so images stay independent, in any batch and on any number
    of processes.

    Args:
        layer: the layer's name, "codes" or "middle".

    """

    grams: Tensor  # (k, d²) of unit length

    def __init__(self, layer: str = "middle"):
        super().__init__()
        self.layer = layer

    def bind(self, subject: Subject) -> GramDiversity:
        """Compute the facets' mean Gram matrices."""
        bound = GramDiversity(subject.layer_name(self.layer))
        bound.layers = (bound.layer,)
        sums = subject.facet_means(self.layer, gram)
        bound.register_buffer("grams", F.normalize(sums, dim=1))
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return minus the mean cosine (n,); 0 for a single facet."""
        cosines = F.normalize(gram(activations[self.layer]), dim=1) @ self.grams.T
        others = 1 - F.one_hot(facets, len(self.grams)).to(cosines.dtype)
        return -(cosines * others).sum(1) / others.sum(1).clamp_min(1)


class CodeDistance(Objective):
    """The least cosine distance (0–2) of the image's code to another facet's centroid (after Cadena et al. 2018).

    Args:
        layer: the layer's name, "codes" or "middle".

    """

    centroids: Tensor  # (k, d) of unit length

    def __init__(self, layer: str = "codes"):
        super().__init__()
        self.layer = layer

    def bind(self, subject: Subject) -> CodeDistance:
        """Compute the facets' centroids."""
        bound = CodeDistance(subject.layer_name(self.layer))
        bound.layers = (bound.layer,)
        bound.register_buffer("centroids", F.normalize(subject.facet_means(self.layer, as_codes), dim=1))
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the distance (n,); 0 for a single facet."""
        if len(self.centroids) < 2:
            return as_codes(activations[self.layer]).sum(1) * 0
        distances = 1 - F.normalize(as_codes(activations[self.layer]), dim=1) @ self.centroids.T
        own = F.one_hot(facets, len(self.centroids)).bool()
        return distances.masked_fill(own, torch.inf).amin(1)


def gram(activation: Tensor) -> Tensor:
    """Return the Gram matrices of maps (n, C, H, W), or of codes (n, C), flattened: (n, C²), means over positions."""
    places = activation.flatten(2) if activation.ndim == 4 else as_codes(activation)[:, :, None]
    return torch.stack([image @ image.T for image in places]).flatten(1) / places.shape[2]
