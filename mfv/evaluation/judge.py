"""A second network that looks at the images: a measuring instrument, which nothing that optimizes may use."""

from __future__ import annotations

from collections.abc import Iterable
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


class Judge:
    """A second network, with its own sizes and pixel statistics.

    Args:
        model: the network. A copy is used.
        device: where it computes; by default where the model is.

    """

    def __init__(self, model: TargetModel, device: torch.device | str | None = None):
        self.model = prepare(model, keep=[model.code_layer]).to(device or model.mean.device)
        lay_out(self.model)
        self.name, self.size = model.name, model.input_size

    @torch.inference_mode()
    def __call__(self, images: Tensor | Iterable[Image.Image]) -> Reading:
        """Look at images, framed by `frames`."""
        codes, probabilities = [], []
        for batch in frames(images, self.size).split(BATCH):
            pixels = shown(batch, self.model, BATCH)
            activations = self.model.activations(pixels, [self.model.code_layer, OUTPUT])
            codes.append(as_codes(activations[self.model.code_layer])[: len(batch)].float().cpu())
            if activations[OUTPUT].ndim == 2:
                probabilities.append(activations[OUTPUT][: len(batch)].float().softmax(1).cpu())
        if not codes:
            raise MfvError(f"{self.name} was given no image to judge")
        return Reading(torch.cat(codes), torch.cat(probabilities) if probabilities else None)

    def class_name(self, index: int) -> str:
        """Return what the network calls a class: its label, its synset, or its number."""
        for names in (self.model.labels, self.model.synsets):
            if index < len(names):
                return names[index]
        return str(index)


def check_independent(subject: TargetModel, judge: TargetModel) -> None:
    """Raise `MfvError` where the judge is the very network that the images are optimized for."""
    if network_fingerprint(subject) == network_fingerprint(judge):
        raise MfvError(
            f"evaluation: the judge ({judge.name}) is the network under study itself ({subject.name}), and would "
            "praise its own images: evaluation=auto takes another, model@evaluation.judge=resnet50 names one, "
            "evaluation=none does without"
        )
