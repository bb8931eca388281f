"""The layers and units of the networks of conf/model, so that a wrong name is answered before PyTorch is loaded."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mfv.models import imagenet
from mfv.models.choice import unit_names
from mfv.models.naming import INPUT_SUFFIX, OUTPUT, PROB, LayerUnits, no_layer

FILE = Path(__file__).with_name("known_networks.json")  # python scripts/list_layers.py --write makes it
OWN = ("num_classes", "labels", "version")  # settings that make another network of it


@dataclass(frozen=True)
class KnownNetwork:
    """A network's names.

    Attributes:
        name: of the network.
        layers: the number of each layer's units; None for a layer without.
        classes: the layers whose units are ImageNet's classes.
        aliases: other names for layers.

    """

    name: str
    layers: Mapping[str, int | None]
    classes: tuple[str, ...]
    aliases: Mapping[str, str]

    def check(self, layer: str, unit: int | str | Sequence[int | str] | None) -> None:
        """Raise `MfvError` for a layer or a unit that the network certainly does not have."""
        own = self.aliases.get(layer.removesuffix(INPUT_SUFFIX), layer.removesuffix(INPUT_SUFFIX))
        if own in (OUTPUT, PROB):
            return
        if own not in self.layers:
            raise no_layer(self.name, layer, self.aliases, self.layers)
        count = self.layers[own]
        if unit is None or count is None or layer.endswith(INPUT_SUFFIX):
            return
        if own in self.classes:
            units = LayerUnits(self.name, own, count, imagenet.labels(), imagenet.synsets())
        else:
            units = LayerUnits(self.name, own, count, class_layer=self.classes[-1])
        for each in unit_names(unit, count):
            units.index(each)


def known_network(model: Mapping[str, Any]) -> KnownNetwork | None:
    """Return the names of the network that a configuration's `model` describes; None where they are not known.

    They hold for the versions of torchvision and timm that they were taken from, and for no others.
    """
    known = _known()
    entry = known["networks"].get(model.get("name"))
    if entry is None or model.get("_target_") != entry["target"]:
        return None
    if any(model.get(setting) != entry["settings"].get(setting) for setting in OWN):
        return None
    library, tested = entry["library"], known["versions"][entry["library"]]
    try:
        if version(library).split("+")[0] != tested:
            return None
    except PackageNotFoundError:
        return None
    return KnownNetwork(model["name"], entry["layers"], tuple(entry["classes"]), model.get("aliases") or {})


@cache
def _known() -> dict[str, Any]:
    return json.loads(FILE.read_text(encoding="utf-8"))
