"""A second network's judgement of a unit's visualizations, with its controls (PAPER.md, part 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mfv.evaluation.controls import noise, shuffled_means
from mfv.evaluation.coverage import coverage, image_coverage
from mfv.evaluation.diversity import distances, diversity
from mfv.evaluation.fidelity import CodeSpace, fidelity, typicality
from mfv.evaluation.framing import frames
from mfv.evaluation.judge import Judge, Reading
from mfv.evaluation.statistics import Statistics, statistics
from mfv.evaluation.transfer import agreement, knows_classes, transfer
from mfv.structures import FacetSet


class Reference:
    """A unit's photographs as the judge sees them: what its visualizations are held against.

    Args:
        judge: the second network.
        photographs: the unit's n images, of any size: pictures, or (n, 3, H, W).
        assignment: (n,) their facets, 0 … k−1.
        class_index: the judge's number for the class that the unit is (`class_of_unit`); None for hidden units.

    """

    def __init__(
        self,
        judge: Judge,
        photographs: Tensor | Iterable[Image.Image],
        assignment: np.ndarray,
        class_index: int | None = None,
    ):
        self.judge, self.class_index = judge, class_index
        self.photographs = frames(photographs, judge.size)
        self.assignment = torch.as_tensor(assignment)
        self.reading = judge(self.photographs)
        self.space = CodeSpace.of(self.reading.codes, assignment)

    @cached_property
    def statistics(self) -> Statistics:
        """How the photographs look."""
        return statistics(self.photographs)

    @cached_property
    def cosines(self) -> Tensor:
        """The photographs' cosines with the centroids of their own facets, (n,)."""
        return self.space.own_cosines(self.reading.codes, self.assignment)

    def numbers(self, reading: Reading, facets: Tensor) -> dict[str, float]:
        """Return what the judge finds of images that are meant for the facets (m,)."""
        found = {"fidelity": fidelity(self.space, reading.codes, facets)}
        typical = typicality(self.space, reading.codes, facets, self.cosines)
        if typical is not None:
            found["typicality"] = typical
        if self.class_index is not None:
            found |= transfer(reading, self.class_index)
        elif reading.probabilities is not None and knows_classes(self.judge):
            found["agreement"] = agreement(reading, facets, self.reading, self.assignment.numpy())
        return found


@dataclass(frozen=True)
class FacetVerdict:
    """The judge's view of one visualization.

    Attributes:
        nearest: the index of the facet that it takes the image for.
        faithful: whether that is the image's own.
        probability: what it gives the unit's class (0–1); None for hidden units.
        top_class: the name of the most probable class.

    """

    nearest: int
    faithful: bool
    probability: float | None
    top_class: str | None


@dataclass(frozen=True)
class Verdict:
    """The judge's view of all visualizations of a unit.

    Attributes:
        metrics: the numbers of docs/evaluation.md, by name; ready for facets.json.
        facets: one per visualization.

    """

    metrics: Mapping[str, float | str]
    facets: tuple[FacetVerdict, ...]

    def applied(self, facet_set: FacetSet) -> FacetSet:
        """Return the facet set with these numbers."""
        facets = tuple(
            replace(
                facet,
                fidelity=verdict.faithful,
                judge_nearest=verdict.nearest,
                judge_probability=verdict.probability,
                judge_class=verdict.top_class,
            )
            for facet, verdict in zip(facet_set.facets, self.facets, strict=True)
        )
        return facet_set.with_(facets=facets, metrics={**facet_set.metrics, **self.metrics})


def judge_facets(
    reference: Reference, facet_set: FacetSet, images: Tensor, *, seed: int = 0, shuffles: int = 3
) -> Verdict:
    """Judge a unit's visualizations, and the controls beside them.

    Metrics that end in `_start` are of the mean images, in `_shuffled` of the means of shuffled clusters,
    in `_noise` of a random start, in `_members` of the photographs themselves; those without are of
    the visualizations. docs/evaluation.md says what each means.

    Args:
        reference: the unit's photographs, in the facet set's order.
        facet_set: with its mean images.
        images: (k, 3, H, W) in [0, 1], one per facet.
        seed: fixes the shuffles and the noise.
        shuffles: how many; their numbers are averaged.

    """
    judge, space, count = reference.judge, reference.space, len(facet_set)
    own = torch.arange(count)
    means = shuffled_means(
        reference.photographs,
        [facet.size for facet in facet_set.facets],
        [len(facet.exemplars) for facet in facet_set.facets],
        seed,
        shuffles,
    )
    final, start = judge(images), judge(facet_set.mean_images)
    metrics: dict[str, float | str] = {"judge": judge.name}
    controls = {
        "": reference.numbers(final, own),
        "_start": reference.numbers(start, own),
        "_shuffled": reference.numbers(judge(means), own.repeat(shuffles)),
        "_noise": reference.numbers(judge(noise(count, judge.size, seed)), own),
        "_members": reference.numbers(reference.reading, reference.assignment),
    }
    for name in controls[""]:
        metrics |= {f"{name}{kind}": numbers[name] for kind, numbers in controls.items()}
    metrics["coverage"] = coverage(space, final.codes)
    metrics["coverage_start"] = coverage(space, start.codes)
    metrics["image_coverage"] = image_coverage(space, final.codes, reference.reading.codes, reference.assignment)
    metrics["image_coverage_start"] = image_coverage(space, start.codes, reference.reading.codes, reference.assignment)
    metrics |= diversity(space, final.codes)
    metrics |= {f"{name}_start": value for name, value in diversity(space, start.codes).items()}
    if count > 1:
        metrics["diversity_members"] = float(distances(space.centroids).mean())
    natural = reference.statistics
    metrics |= statistics(images).relative_to(natural)
    metrics |= {
        f"{name}_start": value for name, value in statistics(facet_set.mean_images).relative_to(natural).items()
    }
    return Verdict(metrics, _facets(reference, final))


def _facets(reference: Reference, reading: Reading) -> tuple[FacetVerdict, ...]:
    nearest = reference.space.nearest(reading.codes).tolist()
    named = reading.probabilities is not None and knows_classes(reference.judge)
    tops = [reference.judge.class_name(top) for top in reading.top.tolist()] if named else [None] * len(reading)
    probabilities: list[float] | list[None] = [None] * len(reading)
    if reference.class_index is not None and reading.probabilities is not None:
        probabilities = reading.probabilities[:, reference.class_index].tolist()
    return tuple(
        FacetVerdict(place, place == facet, probability, top)
        for facet, (place, probability, top) in enumerate(zip(nearest, probabilities, tops, strict=True))
    )
