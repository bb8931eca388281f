"""How layers and units are named, and what is said where a name is wrong. Nothing here needs PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import conf
from mfv.errors import MfvError, nearest_names
from mfv.models import imagenet
from mfv.spelling import plain

OUTPUT = ""  # the network as a whole, as a layer: its output
PROB = "prob"  # a layer that no module stands for: the softmax of the output
INPUT_SUFFIX = ":in"  # "classifier.1:in" is what the layer is given, "classifier.1" what it returns
NEAR = 10  # classes that an error names
FEW = 12  # layers that it lists
_SYNSET = re.compile(r"n\d{8}")


@dataclass(frozen=True)
class LayerUnits:
    """The units of a layer, and what they may be called.

    Attributes:
        model: the network's name.
        layer: the layer's own name; "" for the output.
        count: of units.
        labels: of the classes, where the units are classes; may be empty.
        synsets: likewise.
        class_layer: a layer whose units are classes; None where this is one.

    """

    model: str
    layer: str
    count: int
    labels: tuple[str, ...] = ()
    synsets: tuple[str, ...] = ()
    class_layer: str | None = None

    def index(self, unit: int | str) -> int:
        """Return a unit's number for its number (582, "582"), label ("grocery store") or synset ("n03461385").

        A label must be the whole one; upper and lower case, "_" and " " are the same in it. Of labels that are numbers
        themselves a string names the class, unless it is another one's number.

        Raises:
            MfvError: there is no such unit, or several classes have the name; the message has the nearest ones
                with their numbers.

        """
        text = str(unit).strip()
        if re.fullmatch(r"[+-]?\d+", text):
            index = int(text)
            labelled = self._labelled(text) if isinstance(unit, str) else []
            if labelled and index not in labelled:
                if len(labelled) == 1 and not 0 <= index < self.count:
                    return self._within(unit, labelled[0])
                raise MfvError(
                    f"unit={unit!r} is the label of class {self._listed(labelled)} of {self.model}, and the number of "
                    f"{self._listed([index])}: give the number of the one that is meant, as a number (unit={index})"
                )
            if not 0 <= index < self.count:
                raise MfvError(
                    f"unit={unit}: layer {self._shown} of {self.model} has {self.count} units, 0–{self.count - 1}"
                )
            return index
        if self.class_layer is not None:
            raise MfvError(
                f"unit={unit}: units of layer {self._shown} of {self.model} have no names; "
                f"give a number, 0–{self.count - 1} (names are for classes: layer={self.class_layer})"
            )
        return self._within(unit, self._class_index(text))

    def _labelled(self, text: str) -> list[int]:
        """Return the classes with just this label; of a layer whose units are no classes none."""
        return [index for index, label in enumerate(self.labels) if label == text and self.class_layer is None]

    def _within(self, unit: int | str, index: int) -> int:
        if index >= self.count:
            raise MfvError(
                f"unit={unit} is class {index} of {len(self.labels or self.synsets)}, "
                f"but layer {self._shown} of {self.model} has only {self.count} units"
            )
        return index

    def _class_index(self, name: str) -> int:
        if _SYNSET.fullmatch(name):
            if name in self.synsets:
                return self.synsets.index(name)
            known = "has no synsets" if not self.synsets else "has no class of that synset"
            raise MfvError(f"unit={name}: {self.model} {known}; give a number or a label")
        if not self.labels:
            raise MfvError(
                f"unit={name}: {self.model} has no labels; "
                "give a number, or the names (++model.labels=names.txt, one a line)"
            )
        wanted = plain(name)
        spelled = [plain(label) for label in self.labels]
        found = [index for index, label in enumerate(spelled) if label == wanted]
        if wanted in imagenet.HOMONYMS and self.labels == imagenet.labels():
            found = list(imagenet.HOMONYMS[wanted])
        if len(found) == 1:
            return found[0]
        if found:
            raise MfvError(
                f"unit={name} names {len(found)} classes of {self.model}: {self._listed(found)}; give a number"
            )
        shown = self._listed(_near(wanted, spelled)[:NEAR])
        hint = f"did you mean {shown}?" if shown else "give a number"
        raise MfvError(f"unit={name} is no class of {self.model}; {hint}")

    def _listed(self, indexes: Iterable[int]) -> str:
        described = []
        for index in indexes:
            synset = f", {self.synsets[index]}" if index < len(self.synsets) else ""
            label = self.labels[index] if index < len(self.labels) else "which has no label"
            described.append(f"{index} ({label}{synset})")
        return ", ".join(described)

    @property
    def _shown(self) -> str:
        return repr(self.layer) if self.layer else "the output"


def no_layer(model: str, layer: str, aliases: Mapping[str, str], known: Iterable[str]) -> MfvError:
    """Return the error for a layer that a model does not have, with the nearest names."""
    known = list(known)
    near = nearest_names(layer.removesuffix(INPUT_SUFFIX), [*aliases, *known])
    hint = f"; did you mean {', '.join(near)}?" if near else ""
    if len(known) <= FEW:
        every = f"there are {', '.join(known)}"
    elif (Path(conf.__file__).parent / "model" / f"{model}.yaml").exists():
        every = f"python scripts/list_layers.py model={model} lists its {len(known)} layers"
    else:
        every = f"network.named_modules() lists its {len(known)} layers, as does scripts/list_layers.py"
    return MfvError(f"{model} has no layer {layer!r}{hint} ({every})")


def _near(wanted: str, labels: list[str]) -> list[int]:
    """Return the classes whose label contains the name, then those that share a word, then similar ones."""
    words = set(wanted.split())
    similar = nearest_names(wanted, labels)
    kinds = (
        [index for index, label in enumerate(labels) if wanted in label],
        [index for index, label in enumerate(labels) if words & set(label.split())],
        [index for near in similar for index, label in enumerate(labels) if label == near],
    )
    return list(dict.fromkeys(index for kind in kinds for index in kind))
