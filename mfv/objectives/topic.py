"""A class seen through part of its codes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor

from mfv.activations.values import unit_value
from mfv.objectives.base import Objective, Subject
from mfv.objectives.unit import UnitActivation

logger = logging.getLogger("mfv")


class TopicActivation(Objective):
    """What the codes of a facet's topic contribute to the class: Σ φ_j · ∂f/∂φ_j over the topic's j.

    Wei et al. (2015) divide the fc7 neurons of a class into topics and maximize the class with all
    other neurons masked. Here a facet's topic is the codes that are larger on its images than on all
    of the unit's, by most. Above the codes of most classifiers comes one linear layer: the sum is the
    class's value with the other codes masked, less the bias. A hidden unit has no codes below it:
    there it is the unit's own value.

    Args:
        share: of the codes, 0–1, that make up a topic.

    """

    between_layers = True
    index: int
    position: str | None
    topics: Tensor  # (k, d): 1 for the codes of the facet's topic, else 0

    def __init__(self, share: Annotated[float, Interval(gt=0, le=1), "a share of the codes"] = 0.25):
        super().__init__()
        self.share = share

    def bind(self, subject: Subject) -> Objective:
        """Choose each facet's topic from the codes of the unit's images."""
        if not subject.is_class:
            logger.info("a unit of layer %s has no topics: its own value is maximized", subject.layer)
            return UnitActivation().bind(subject)
        codes, assignment = subject.codes("codes").float(), subject.assignment()
        bound = TopicActivation(self.share)
        bound.layers = (subject.layer, subject.layer_name("codes"))
        bound.index, bound.position = subject.index, subject.position
        count = max(1, round(self.share * codes.shape[1]))
        topics = torch.zeros(subject.facets, codes.shape[1])
        for facet in range(subject.facets):
            own = codes[assignment == facet]
            if len(own):
                lead = own.mean(0) - codes.mean(0)
                topics[facet, lead.topk(count).indices] = 1
            else:
                topics[facet] = 1
        bound.register_buffer("topics", topics)
        return bound

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the topic's contribution (n,)."""
        layer, codes_layer = self.layers
        codes = activations[codes_layer]
        value = unit_value(activations[layer], self.index, self.position)
        (slope,) = torch.autograd.grad(value.sum(), codes, retain_graph=True)
        shape = {2: (-1,), 3: (1, -1), 4: (-1, 1, 1)}[codes.ndim]  # neurons, tokens, a map
        return (codes * slope * self.topics[facets].unflatten(1, shape)).flatten(1).sum(1)
