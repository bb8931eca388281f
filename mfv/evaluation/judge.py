"""A second network that looks at the images: a measuring instrument, which nothing that optimizes may use."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from mfv.activations.values import as_codes
from mfv.errors import MfvError
from mfv.evaluation.framing import frames
from mfv.models.batches import shown
from mfv.models.fingerprint import network_fingerprint
from mfv.models.layout import lay_out
from mfv.models.naming import OUTPUT
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel

BATCH = 32
REMEMBERED = 10_000  # images, of which each takes about 9 kB


@dataclass(frozen=True)
class Reading:
    """What a judge makes of n images.

    Attributes:
        codes: (n, d) float32, the activations of its code layer.
        probabilities: (n, classes) float32; None for a network without class scores.

    """

    codes: Tensor
    probabilities: Tensor | None

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def top(self) -> Tensor:
        """The most probable class of each image, (n,) int64."""
        assert self.probabilities is not None, "this network gives no class scores"
        return self.probabilities.argmax(1)

    def __getitem__(self, rows: slice) -> Reading:
        return Reading(self.codes[rows], None if self.probabilities is None else self.probabilities[rows])

    def alone(self) -> Reading:
        """Return the same, which keeps nothing alive of the batch that it is a part of."""
        return Reading(self.codes.clone(), None if self.probabilities is None else self.probabilities.clone())


class Judge:
    """A second network, with its own sizes and pixel statistics.

    What it has seen lately it knows again: units of a layer share many of their photographs.

    Args:
        model: the network. A copy is used.
        device: where it computes; by default where the model is.

    """

    def __init__(self, model: TargetModel, device: torch.device | str | None = None):
        self.model = prepare(model, keep=[model.code_layer], gradients=False).to(device or model.mean.device)
        lay_out(self.model)
        self.name, self.size = model.name, model.input_size
        self._known: dict[bytes, Reading] = {}  # of single images, those seen last at the end

    def __call__(self, images: Tensor | Iterable[Image.Image]) -> Reading:
        """Look at images, framed by `frames`."""
        framed = frames(images, self.size)
        if not len(framed):
            raise MfvError(f"{self.name} was given no image to judge")
        keys = [hashlib.blake2b(image.contiguous().numpy(), digest_size=16).digest() for image in framed]
        found = {key: self._known.pop(key) for key in dict.fromkeys(keys) if key in self._known}
        new = {key: row for row, key in enumerate(keys) if key not in found}
        if new:
            readings = [self._look(batch) for batch in framed[list(new.values())].split(BATCH)]
            singly = [reading[row : row + 1].alone() for reading in readings for row in range(len(reading))]
            found |= dict(zip(new, singly, strict=True))
        self._known |= found
        for key in list(self._known)[:-REMEMBERED]:
            del self._known[key]
        return joined([found[key] for key in keys])

    @torch.inference_mode()
    def _look(self, images: Tensor) -> Reading:
        """Look at a batch (n, 3, size, size) uint8."""
        count = len(images)
        if count == 1:  # convolutions of a single image sum in another order: it gets company
            images = images.expand(2, *images.shape[1:])
        activations = self.model.activations(shown(images, self.model, BATCH), [self.model.code_layer, OUTPUT])
        scores = activations[OUTPUT]
        return Reading(
            as_codes(activations[self.model.code_layer])[:count].float().cpu(),
            scores[:count].float().softmax(1).cpu() if scores.ndim == 2 else None,
        )

    def class_name(self, index: int) -> str:
        """Return what the network calls a class: its label, its synset, or its number."""
        for names in (self.model.labels, self.model.synsets):
            if index < len(names):
                return names[index]
        return str(index)


def joined(readings: Sequence[Reading]) -> Reading:
    """Return readings of one network as one."""
    known = [reading.probabilities for reading in readings if reading.probabilities is not None]
    return Reading(torch.cat([reading.codes for reading in readings]), torch.cat(known) if known else None)


def check_independent(subject: TargetModel, judge: TargetModel) -> None:
    """Raise `MfvError` where the judge is the very network that the images are optimized for."""
    sizes, others = ({name: each.shape for name, each in one.state_dict().items()} for one in (subject, judge))
    if sizes == others and network_fingerprint(subject) == network_fingerprint(judge):
        raise MfvError(
            f"evaluation: the judge ({judge.name}) is the network under study itself ({subject.name}), and would "
            "praise its own images: evaluation=auto takes another, model@evaluation.judge=resnet50 names one, "
            "evaluation=none does without"
        )
