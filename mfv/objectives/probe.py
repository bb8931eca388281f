"""The facet objective of Goh et al. (2021), with probes trained on the facets that were found."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from mfv.activations.values import as_codes, unit_value
from mfv.errors import MfvError
from mfv.objectives.base import Objective, Subject

_DECAY = 1e-2  # of the probe's weights; the codes are standardized
_ITERATIONS = 100  # of L-BFGS; it converges in far fewer


class FacetProbe(Objective):
    """f + weight·wᵀ(g ⊙ ∇f): the unit f, reached by way of what tells its facet from the others.

    g is a lower layer's mean activation, ∇f the unit's gradient there (held constant, so that no second
    derivative is taken), w a logistic probe of the facet's images against the unit's other images
    (Goh et al. 2021, Multimodal Neurons in Artificial Neural Networks, appendix on faceted feature visualization).

    Args:
        layer: the lower layer's name, "codes" or "middle".
        weight: of the second term.

    """

    between_layers = True
    probes: Tensor  # (k, d) of unit length
    index: int
    position: str | None

    def __init__(self, layer: str = "middle", weight: float = 1.0):
        super().__init__()
        self.layer, self.weight = layer, weight

    def bind(self, subject: Subject) -> FacetProbe:
        """Train a probe per facet."""
        bound = FacetProbe(subject.layer_name(self.layer), self.weight)
        bound.layers = tuple(dict.fromkeys((subject.layer, bound.layer)))
        bound.index, bound.position = subject.index, subject.position
        codes, assignment = subject.codes(self.layer).float(), subject.assignment()
        probes = torch.stack([train_probe(codes, assignment == facet) for facet in range(subject.facets)])
        bound.register_buffer("probes", F.normalize(probes, dim=1))
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the value with its facet's share (n,)."""
        lower = activations[self.layer]
        value = unit_value(activations[self.layers[0]], self.index, self.position)
        (slope,) = torch.autograd.grad(value.sum(), lower, retain_graph=True, allow_unused=True)
        if slope is None:
            raise MfvError(
                f"FacetProbe(layer={self.layer!r}): units of layer {self.layers[0]!r} are not made of it; name a layer "
                "below theirs (render.objectives.….layer), or take another objective (FacetAnchor)"
            )
        share = as_codes(lower * slope.detach())
        places = lower[0, 0].numel() if lower.ndim == 4 else 1  # `as_codes` takes a mean over the map: back to the sum
        return value + self.weight * places * (share * self.probes[facets]).sum(1)


def train_probe(codes: Tensor, members: Tensor) -> Tensor:
    """Return the weights (d,) of a logistic regression of members (n,) on codes (n, d); both sides weigh the same."""
    if members.all() or not members.any():  # nothing to tell apart
        return torch.zeros(codes.shape[1])
    scale = codes.std(0, unbiased=False) + 1e-6
    inputs, labels = (codes - codes.mean(0)) / scale, members.float()
    share = labels.mean().clamp(1e-3, 1 - 1e-3)
    weights = labels / (2 * share) + (1 - labels) / (2 * (1 - share))
    parameters = torch.zeros(codes.shape[1] + 1, requires_grad=True)
    optimizer = torch.optim.LBFGS([parameters], max_iter=_ITERATIONS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        logits = inputs @ parameters[:-1] + parameters[-1]
        fit = F.binary_cross_entropy_with_logits(logits, labels, weights)
        total = fit + _DECAY * parameters[:-1].square().sum()
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return parameters.detach()[:-1] / scale
