"""The unit and its images, as objectives ask for them when they are bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from mfv.activations.values import as_codes
from mfv.models.batches import shown
from mfv.models.layout import lay_out
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel

BATCH = 16  # images at once


class UnitSubject:
    """A unit with its images and facets (`mfv.objectives.Subject`).

    Args:
        model: the network.
        layer: the unit's.
        index: the unit's.
        position: where in a map the unit's value is read, as `unit_values` takes it.
        pixels: (n, 3, H, W) uint8, the unit's images as the network is shown them.
        assignment: (n,) the images' facets.
        activations: (n,) the unit's value on the images.
        crops: whether the images are receptive-field crops: then "codes" and "middle" both mean
            the unit's own layer, as deeper ones would see beyond the crop.
        codes: by layer, its mean activation (n, d) on the images, where it is known; else it is computed.

    """

    def __init__(
        self,
        model: TargetModel,
        layer: str,
        index: int,
        position: str | None,
        pixels: Tensor,
        assignment: np.ndarray,
        activations: np.ndarray,
        crops: bool = False,
        codes: Mapping[str, Tensor] | None = None,
    ):
        self.model, self.layer, self.index, self.position = model, layer, index, position
        self.is_class = model.is_output(layer)
        self.facets = int(assignment.max()) + 1
        self.pixels, self.crops = pixels, crops
        self._assignment = torch.as_tensor(assignment)
        self._activations = torch.as_tensor(activations)
        self._codes: dict[str, Tensor] = dict(codes or {})

    def layer_name(self, layer: str) -> str:
        """Return the network's name for a layer, for "codes" and "middle" too."""
        if layer in ("codes", "middle"):
            if self.crops:
                return self.layer
            return self.model.code_layer if layer == "codes" else self.model.anchor_layer
        return self.model.canonical(layer)

    def codes(self, layer: str) -> Tensor:
        """Return the layer's mean activation (n, d) for each image; computed once, "codes" and "middle" together."""
        name = self.layer_name(layer)
        if name not in self._codes:
            usual = {self.layer_name("codes"), self.layer_name("middle")} - self._codes.keys()
            names = sorted(usual) if name in usual else [name]
            parts = [{each: as_codes(maps[each]).cpu() for each in names} for maps in self._passes(names)]
            for each in names:
                self._codes[each] = torch.cat([part[each] for part in parts]).clone()
        return self._codes[name]

    def reduced(self, layer: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return function(activation), (n, d), of each image; the maps themselves are not kept."""
        return torch.cat([values for _, values in self._batches(layer, function)]).clone()

    def facet_means(self, layer: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the mean of function(activation) over each facet's images, (k, d); zeros for an empty one."""
        sums: Tensor | None = None
        for first, values in self._batches(layer, function):
            facets = self._assignment[first : first + len(values)]
            if sums is None:
                sums = torch.zeros(self.facets, values.shape[1])
            sums.index_add_(0, facets, values.float())
        assert sums is not None, "a unit has images"
        sizes = torch.bincount(self._assignment, minlength=self.facets).clamp_min(1)
        return sums / sizes[:, None]

    def _batches(self, layer: str, function: Callable[[Tensor], Tensor]) -> Iterator[tuple[int, Tensor]]:
        name = self.layer_name(layer)
        for number, maps in enumerate(self._passes([name])):
            with torch.inference_mode():
                values = function(maps[name]).cpu()
            yield number * BATCH, values

    def _passes(self, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
        """Give the layers' activations, batch by batch of the images."""
        model = prepare(self.model, keep=names, gradients=False)
        lay_out(model)
        for batch in self.pixels.split(BATCH):
            with torch.inference_mode():
                maps = model.activations(shown(batch, model, BATCH), names)
            yield {name: activation[: len(batch)] for name, activation in maps.items()}

    def assignment(self) -> Tensor:
        """Return the facet of each image (n,)."""
        return self._assignment

    def activations(self) -> Tensor:
        """Return the unit's value on each image (n,)."""
        return self._activations
