"""Units that are rendered together are one part of a step, and each image is the one that it is alone."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mfv.data import PhotoCrops
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import ClassMargin, FacetAnchor, Subject, UnitActivation, WeightedSum
from mfv.parameterizations import FixedMagnitude
from mfv.regularizers import PatchPrior, RandomAffine, TVProx
from mfv.rendering import ActivationMaximizer, Octave, Recipe, UnitSubject, bound_part, render, render_units
from mfv.rendering.parts import Parts, UnitPart, joined_parts, own_parts

LAYER = "features.16"
SMALL = 96  # pixels


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


def starts_of(subject: UnitSubject) -> Tensor:
    pixels = subject.pixels.float() / 255
    return torch.stack([pixels[subject.assignment() == facet].mean(0) for facet in range(subject.facets)])


def joinable(hidden: bool) -> Recipe:
    """Return a recipe whose parts are all joined, as those of `fast` and `best` are."""
    anchors = [FacetAnchor(layer, cap=90, rivals=rivals) for layer, rivals in (("codes", 0.5), ("middle", 0.0))]
    aim = UnitActivation(99, natural=True) if hidden else ClassMargin()
    octave = Octave(
        3, 2.0, objective=WeightedSum([aim, *anchors], [1.0, 2.0, 2.0]),
        regularizers=(RandomAffine(exact=False), TVProx(0.5, most=100.0, rougher=0.2)),
    )  # fmt: skip
    return Recipe((octave,), momentum=0.5, average=0.5, batch_size=4)


def class_subjects(model: TargetModel, sizes: Sequence[int]) -> list[UnitSubject]:
    """Return classes, each with eight small photographs and facets of its own."""
    generator, source = np.random.default_rng(1), PhotoCrops()
    shown = [torch.from_numpy(np.array(source.load(row).resize((SMALL, SMALL)))) for row in range(8 * len(sizes))]
    pixels = torch.stack(shown).permute(0, 3, 1, 2).unflatten(0, (-1, 8))
    return [
        UnitSubject(
            model, "classifier.1", 100 * number, None, own, np.arange(8) % facets,
            generator.uniform(0, 5, 8).astype(np.float32),
        )
        for number, (facets, own) in enumerate(zip(sizes, pixels, strict=True))
    ]  # fmt: skip


@pytest.mark.parametrize("hidden", [True, False], ids=["hidden units", "classes"])
def test_joined_units_are_units_alone(model: TargetModel, hidden: bool) -> None:
    sizes = (2, 2, 2, 3, 3)
    subjects, plan = class_subjects(model, sizes), joinable(hidden)
    if hidden:
        for number, subject in enumerate(subjects):
            subject.layer, subject.index = model.before_activation(LAYER), 7 * number
    starts = [starts_of(subject) for subject in subjects]
    parts = [bound_part(plan, subject, len(own)) for subject, own in zip(subjects, starts, strict=True)]
    found = joined_parts(parts)
    assert [part.facets.tolist() for part in found] == [[0, 1, 0, 1, 0, 1], [0, 1, 2, 0, 1, 2]]
    assert [part.numbers.tolist() for part in found] == [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    options = {"progress": False, "accelerator": "cpu", "input_size": SMALL}
    together = render_units(model, parts, starts, **options)  # type: ignore[arg-type]
    for subject, own, rendering in zip(subjects, starts, together, strict=True):
        alone = render(model, plan, subject, own, **options)
        assert torch.equal(alone.images, rendering.images)
        assert torch.equal(alone.curves, rendering.curves)
    some = joined_parts(own_parts(parts, torch.tensor([1, 2, 5, 11])))  # of a process that has only these images
    assert [part.numbers.tolist() for part in some] == [[1, 2, 5], [5]]


def test_a_step_takes_no_more_operations_for_many_units_than_for_one_with_as_many_facets(model: TargetModel) -> None:
    counts = []
    for sizes in ([8], [4, 4], [2, 2, 2, 2]):
        subjects, plan = class_subjects(model, sizes), replace(joinable(False), batch_size=8)
        starts = [starts_of(subject) for subject in subjects]
        parts = [bound_part(plan, subject, len(own)) for subject, own in zip(subjects, starts, strict=True)]
        maximizer = ActivationMaximizer(model, parts, torch.cat(starts), input_size=SMALL)
        optimizer = plan.make_optimizer(maximizer.canvas)
        maximizer.step(optimizer, 0)  # what is prepared once
        with Counted() as counted:
            maximizer.step(optimizer, 1)
        counts.append(counted.operations)
    assert counts[1] == counts[2]
    assert 100 < counts[0] < counts[1] < counts[0] + 20  # what belongs to a unit is looked up


class Counted(TorchDispatchMode):
    """Counts operations on tensors, forward and backward."""

    operations = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):  # type: ignore[no-untyped-def]
        self.operations += 1
        return function(*arguments, **(named or {}))


class Doubled(UnitActivation):
    """A subclass, which does not say how it is joined."""

    def bind(self, subject: Subject) -> UnitActivation:
        bound = super().bind(subject)
        bound.__class__ = Doubled
        return bound

    def forward(self, *given) -> Tensor:  # type: ignore[no-untyped-def]
        return 2 * super().forward(*given)


@dataclasses.dataclass(frozen=True)
class Bolder(TVProx):
    """One that is bound in its own way, and does not say how it is joined."""

    def bind(self, subject: Subject) -> TVProx:
        return super().bind(subject)


def test_parts_that_differ_are_not_joined(model: TargetModel) -> None:
    one, other = class_subjects(model, [2, 2])
    plain = joinable(False)
    (octave,) = plain.octaves
    for plan in (
        replace(plain, octaves=(replace(octave, regularizers=(PatchPrior(0.2, count=50, components=8),)),)),
        replace(plain, parameterization=FixedMagnitude(color="images")),
        replace(plain, octaves=(replace(octave, objective=Doubled()),)),
        replace(plain, octaves=(replace(octave, regularizers=(Bolder(most=2.0),)),)),
    ):
        parts = [bound_part(plan, subject, 2) for subject in (one, other)]
        assert joined_parts(parts) == parts
    parts = [bound_part(plan, subject, 2) for plan, subject in ((joinable(True), one), (joinable(False), other))]
    assert joined_parts(parts) == parts


def test_parts_know_their_rows() -> None:
    parts = Parts([UnitPart(joinable(False), [], torch.arange(size)) for size in (3, 0, 1, 2)])
    assert parts.facets.tolist() == [0, 1, 2, 0, 0, 1]
    rows = [[own for _, own in parts.within(asked)] for asked in (slice(None), slice(2, 5), slice(4, 6))]
    assert rows == [[slice(0, 3), slice(3, 4), slice(4, 6)], [slice(2, 3), slice(3, 4), slice(4, 5)], [slice(4, 6)]]
