"""Transfer: whether another network sees in the images what the unit stands for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mfv.evaluation.judge import Judge, Reading
from mfv.models.imagenet import CLASSES
from mfv.models.target import TargetModel
from mfv.models.units import unit_count
from mfv.spelling import plain


def matching_class(subject: TargetModel, index: int, judge: TargetModel, classes: tuple[int, int]) -> int | None:
    """Return the judge's number for a class of the subject; None where it knows none that is surely the same.

    Networks agree on a class by its synset, else by its label (without regard to case, underscores and blanks), else,
    where one of them tells neither and both have the 1,000 classes of ImageNet, by its number.

    Args:
        subject: the network under study.
        index: of the class in its output.
        judge: the second network.
        classes: how many the two give scores for.

    """
    for ours, theirs in ((subject.synsets, judge.synsets), (subject.labels, judge.labels)):
        if ours and ours == theirs:
            return index if index < len(ours) else None
        if ours and theirs:
            return _only(ours[index], theirs) if index < len(ours) else None
    return index if classes == (CLASSES, CLASSES) else None


def transfer(reading: Reading, class_index: int) -> dict[str, float]:
    """Return the share of images that the judge gives the class, and the class's mean probability."""
    assert reading.probabilities is not None, "transfer needs a network with class scores"
    return {
        "transfer_top1": float((reading.top == class_index).double().mean()),
        "transfer_probability": float(reading.probabilities[:, class_index].mean()),
    }


def agreement(reading: Reading, facets: Tensor, members: Reading, assignment: np.ndarray) -> float:
    """Return the share of images whose most probable class is that of some photograph of their facet.

    For hidden units, which stand for no class: the judge takes the image for one of the things
    that it sees in the facet.

    Args:
        reading: of m images.
        facets: (m,) which they are meant for.
        members: of the unit's n photographs.
        assignment: (n,) their facets.

    """
    tops, known = members.top.numpy(), {}
    for facet in set(facets.tolist()):
        known[facet] = set(tops[assignment == facet].tolist())
    agreed = [top in known[facet] for top, facet in zip(reading.top.tolist(), facets.tolist(), strict=True)]
    return float(np.mean(agreed))


def knows_classes(judge: Judge) -> bool:
    """Say whether the judge's output stands for named classes rather than for features."""
    return bool(judge.model.labels or judge.model.synsets)


def class_of_unit(subject: TargetModel, layer: str, index: int, judge: Judge) -> int | None:
    """Return the judge's number for the class that a unit of the subject is; None for hidden units too."""
    if not subject.is_output(layer):
        return None
    scores = judge(torch.zeros(1, 3, judge.size, judge.size)).probabilities
    if scores is None:
        return None
    return matching_class(subject, index, judge.model, (unit_count(subject, layer), scores.shape[1]))


def _only(name: str, names: Sequence[str]) -> int | None:
    wanted = plain(name)
    found = [index for index, other in enumerate(names) if plain(other) == wanted]
    return found[0] if len(found) == 1 else None
