"""Objectives: each means what it says, on the real network and the bundled photographs."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import mfv.objectives
from mfv.activations.values import as_codes
from mfv.data import PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import (
    ClassMargin,
    CodeDistance,
    CodeInversion,
    Constraint,
    Direction,
    DistributionAlignment,
    FacetAnchor,
    FacetProbe,
    GramDiversity,
    Objective,
    UnitActivation,
    UnitOf,
    WeightedSum,
)
from mfv.objectives.alignment import channel_statistics
from mfv.objectives.diversity import gram
from mfv.objectives.probe import train_probe
from mfv.objectives.unit import natural_spread
from mfv.rendering import UnitSubject

FACETS = 3
CLASS = 967  # espresso
MADE: dict[str, Callable[[], Objective]] = {  # objectives that need arguments
    "Constraint": lambda: Constraint(FacetAnchor(), 0.2),
    "Direction": lambda: Direction("features.14", np.linspace(-1, 1, 160)),
    "UnitOf": lambda: UnitOf("features.14", 7),
    "WeightedSum": lambda: WeightedSum([FacetAnchor(), UnitActivation()], [2.0, 1.0]),
}
ALL = [name for name in mfv.objectives.__all__ if name not in ("Objective", "Subject")]


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def subject(model: TargetModel) -> UnitSubject:
    source, preprocess = PhotoCrops(), Preprocess(model.input_size, model.resize)
    rows = np.linspace(0, len(source) - 1, 8 * FACETS).astype(int)
    pixels = (torch.stack([preprocess(source.load(int(row))) for row in rows]) * 255).byte()
    with torch.inference_mode():
        values = model(pixels.float() / 255)[:, CLASS].numpy()
    return UnitSubject(model, "classifier.1", CLASS, None, pixels, np.arange(len(rows)) // 8, values)


def made(name: str) -> Objective:
    return MADE[name]() if name in MADE else getattr(mfv.objectives, name)()


def values(objective: Objective, model: TargetModel, pixels: Tensor, facets: Tensor) -> Tensor:
    return objective(model.activations(pixels, list(objective.layers)), facets, 0.5)


@pytest.mark.parametrize("name", ALL)
def test_an_objective_rises_along_its_gradient_and_images_are_independent(
    name: str, model: TargetModel, subject: UnitSubject
) -> None:
    objective = made(name).bind(subject)
    facets = torch.tensor([0, 2])
    pixels = (subject.pixels[[9, 1]].float() / 255).requires_grad_(True)
    before = values(objective, model, pixels, facets)
    assert before.shape == (2,)
    (gradient,) = torch.autograd.grad(before.sum(), pixels)
    (alone,) = torch.autograd.grad(values(objective, model, pixels[:1], facets[:1]).sum(), pixels)
    assert torch.allclose(gradient[0], alone[0], rtol=1e-2, atol=1e-3 * float(gradient[0].abs().max()))
    assert (alone[1] == 0).all()
    length = gradient.flatten(1).norm(dim=1)[:, None, None, None]
    assert (length > 0).all()
    moved = (pixels.detach() + 0.2 * gradient / length).requires_grad_(True)
    after = values(objective, model, moved, facets)
    assert (after > before).all()


def test_a_direction_along_an_axis_is_the_channels_mean(model: TargetModel, subject: UnitSubject) -> None:
    axis = torch.zeros(160)
    axis[7] = 1
    objective = Direction("features.14", axis).bind(subject)
    pixels = subject.pixels[:3].float() / 255
    expected = model.activations(pixels, ["features.14"])["features.14"][:, 7].mean((1, 2))
    assert torch.allclose(values(objective, model, pixels, torch.zeros(3, dtype=torch.long)), expected)


def test_a_direction_comes_from_a_file(tmp_path: Path, model: TargetModel, subject: UnitSubject) -> None:
    vector = np.random.default_rng(0).normal(size=160).astype(np.float32)
    np.save(tmp_path / "v.npy", vector)
    pixels, facets = subject.pixels[:2].float() / 255, torch.tensor([0, 0])
    sharp = Direction("features.14", tmp_path / "v.npy", power=2.0).bind(subject)
    codes = as_codes(model.activations(pixels, ["features.14"])["features.14"]).numpy()
    product = codes @ vector
    cosine = np.maximum(product / np.linalg.norm(codes, axis=1) / np.linalg.norm(vector), 0.1)
    assert np.allclose(values(sharp, model, pixels, facets), product * cosine**2, rtol=1e-4)
    (tmp_path / "words.npy").write_text("no numbers")
    with pytest.raises(MfvError, match=r"words\.npy holds no numbers .*: give a \.npy file of them"):
        Direction("features.14", str(tmp_path / "words.npy")).bind(subject)


def test_several_units_are_a_weighted_sum(model: TargetModel, subject: UnitSubject) -> None:
    parts = [UnitOf("features.14", 7), UnitOf("classifier.1", 3), UnitOf("", 5)]
    total = WeightedSum(parts, [1.0, -2.0, 0.5]).bind(subject)
    pixels, facets = subject.pixels[:2].float() / 255, torch.tensor([0, 0])
    logits, maps = model(pixels), model.activations(pixels, ["features.14"])["features.14"]
    expected = maps[:, 7].amax((1, 2)) - 2 * logits[:, 3] + 0.5 * logits[:, 5]
    assert torch.allclose(values(total, model, pixels, facets), expected, atol=1e-4)


class OneForAll(Objective):
    """Forgets that each image is to have a value of its own."""

    layers = ("features.14",)

    def bind(self, subject: object) -> Objective:
        return self

    def forward(self, activations: Mapping[str, torch.Tensor], facets: torch.Tensor, progress: float) -> torch.Tensor:
        return activations["features.14"].mean()


def test_a_part_of_a_sum_without_a_value_for_each_image_is_refused(model: TargetModel, subject: UnitSubject) -> None:
    total = WeightedSum([UnitOf("features.14", 7), OneForAll()], [1.0, 1.0]).bind(subject)
    with pytest.raises(MfvError, match=r"OneForAll gives \(\) for 2 images: a value for each, \(n,\), is asked for"):
        values(total, model, subject.pixels[:2].float() / 255, torch.tensor([0, 0]))


def test_the_margin_is_the_log_odds_in_natural_spreads(model: TargetModel, subject: UnitSubject) -> None:
    pixels, facets = subject.pixels[:4].float() / 255, torch.zeros(4, dtype=torch.long)
    probability = model(pixels).double().softmax(1)[:, CLASS]
    expected = (probability / (1 - probability)).log() / natural_spread(subject.activations())
    found = values(ClassMargin(1.0).bind(subject), model, pixels, facets)
    assert torch.allclose(found.double(), expected, atol=1e-4)


def test_a_hidden_unit_has_no_margin_but_its_capped_value(model: TargetModel, subject: UnitSubject) -> None:
    hidden = UnitSubject(
        model, "features.14", 7, None, subject.pixels, subject.assignment().numpy(), np.arange(24, dtype=np.float32)
    )
    bound = ClassMargin(hidden=0.5).bind(hidden)
    assert isinstance(bound, UnitActivation)
    assert bound.layers == ("features.14",)
    assert bound.spread == pytest.approx(2 * (np.percentile(np.arange(24), 99) - 11.5))


def test_goh_against_a_slow_twin(model: TargetModel, subject: UnitSubject) -> None:
    objective = FacetProbe("features.14", weight=3.0).bind(subject)
    pixels, facets = (subject.pixels[[0, 20]].float() / 255).requires_grad_(True), torch.tensor([1, 2])
    found = values(objective, model, pixels, facets).detach()
    for image, facet, value in zip(pixels.detach(), facets, found, strict=True):
        lower = model.activations(image[None], ["features.14"])["features.14"].detach().requires_grad_(True)
        above = lower
        for block in list(model.network.features)[15:]:  # type: ignore[arg-type]
            above = block(above)
        unit = model.network.classifier(above.mean((2, 3)))[0, CLASS]  # type: ignore[operator]
        (slope,) = torch.autograd.grad(unit, lower)
        expected = unit + 3 * (objective.probes[facet][:, None, None] * lower[0] * slope[0]).sum()
        assert value.item() == pytest.approx(expected.item(), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("tokens", [1, 50])
def test_a_probe_of_tokens_looks_at_the_class_token(subject: UnitSubject, tokens: int) -> None:
    """However many others there are, of which the unit is not made."""
    objective = FacetProbe("features.14", weight=3.0).bind(subject)
    lower = torch.zeros(1, tokens, objective.probes.shape[1])
    lower[:, 0] = torch.linspace(-1, 1, lower.shape[2])
    lower.requires_grad_(True)
    slopes = torch.linspace(2, 3, lower.shape[2])
    scores = F.pad((lower[:, 0] * slopes).sum(1, keepdim=True), (CLASS, 1000 - CLASS - 1))
    found = objective({"features.14": lower, "classifier.1": scores}, torch.tensor([1]), 0.5)
    expected = scores[0, CLASS] + 3 * (objective.probes[1] * lower[0, 0] * slopes).sum()
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_a_probe_above_its_unit_is_refused(model: TargetModel, subject: UnitSubject) -> None:
    unit = UnitSubject(model, "features.3", 2, None, subject.pixels, subject.assignment().numpy(), np.ones(24))
    objective = FacetProbe("features.14").bind(unit)
    pixels = (subject.pixels[:2].float() / 255).requires_grad_(True)
    with pytest.raises(MfvError, match=r"units of layer 'features\.3' are not made of it; name a layer below theirs"):
        values(objective, model, pixels, torch.tensor([0, 1]))


def test_a_probe_tells_members_from_others(subject: UnitSubject) -> None:
    codes, members = subject.codes("middle").float(), subject.assignment() == 1
    scores = codes @ train_probe(codes, members)
    assert scores[members].min() > scores[~members].max()


def test_gram_against_numpy() -> None:
    activation = torch.randn(2, 5, 3, 4, generator=torch.Generator().manual_seed(0))
    for found, image in zip(gram(activation), activation.flatten(2).numpy(), strict=True):
        assert np.allclose(found.reshape(5, 5), image @ image.T / 12, atol=1e-6)


def test_a_photograph_of_another_facet_is_less_diverse_there(model: TargetModel, subject: UnitSubject) -> None:
    pixels = subject.pixels.float() / 255
    own, other = subject.assignment(), (subject.assignment() + 1) % FACETS
    for objective in (GramDiversity().bind(subject), CodeDistance().bind(subject)):
        with torch.inference_mode():
            assert (values(objective, model, pixels, own) - values(objective, model, pixels, other)).mean() > 0


def test_members_are_aligned_with_their_own_facet(model: TargetModel, subject: UnitSubject) -> None:
    objective = DistributionAlignment().bind(subject)
    natural = subject.reduced("middle", channel_statistics)
    assert torch.allclose(subject.facet_means("middle", channel_statistics)[1], natural[8:16].mean(0), atol=1e-4)
    pixels, own = subject.pixels.float() / 255, subject.assignment()
    with torch.inference_mode():
        difference = values(objective, model, pixels, own) - values(objective, model, pixels, (own + 1) % FACETS)
    assert difference.mean() > 0


def test_inversion_is_zero_at_its_target(model: TargetModel, subject: UnitSubject) -> None:
    single = UnitSubject(model, "classifier.1", CLASS, None, subject.pixels[:1], np.zeros(1, dtype=int), np.ones(1))
    objective = CodeInversion().bind(single)
    pixels = subject.pixels[:2].float() / 255
    found = values(objective, model, pixels, torch.tensor([0, 0]))
    assert found[0].item() == pytest.approx(0, abs=1e-6)
    assert found[1] < -0.1


def test_a_constraint_is_content_once_reached(model: TargetModel, subject: UnitSubject) -> None:
    pixels, facets = subject.pixels[:4].float() / 255, torch.zeros(4, dtype=torch.long)
    plain = values(FacetAnchor().bind(subject), model, pixels, facets)
    found = values(Constraint(FacetAnchor(), 0.3, beyond=0.0).bind(subject), model, pixels, facets)
    assert torch.equal(found, plain.clamp_max(0.3))


def test_a_capped_anchor_is_content_where_its_photographs_are(model: TargetModel, subject: UnitSubject) -> None:
    pixels, own = subject.pixels.float() / 255, subject.assignment()
    with torch.inference_mode():
        plain = values(FacetAnchor().bind(subject), model, pixels, own)
        capped = values(FacetAnchor(cap=75, beyond=0.0).bind(subject), model, pixels, own)
    for facet in range(FACETS):
        natural = plain[own == facet]
        ceiling = float(np.percentile(natural.numpy(), 75))
        assert torch.allclose(capped[own == facet], natural.clamp_max(ceiling), atol=1e-5)
        assert capped[own == facet].max() < natural.max()


def test_an_anchor_with_rivals_tells_the_facets_apart(model: TargetModel, subject: UnitSubject) -> None:
    pixels, own = subject.pixels.float() / 255, subject.assignment()
    anchor = FacetAnchor(rivals=1.0).bind(subject)
    offset = (subject.codes("codes") - subject.codes("codes").mean(0)).double().numpy()
    means = np.stack([offset[own.numpy() == facet].mean(0) for facet in range(FACETS)])
    cosines = offset @ means.T / np.linalg.norm(offset, axis=1)[:, None] / np.linalg.norm(means, axis=1)
    with torch.inference_mode():
        found = values(anchor, model, pixels, own).numpy()
    for row, facet in enumerate(own.tolist()):
        others = np.delete(cosines[row], facet)
        expected = cosines[row, facet] - 0.1 * np.log(np.exp(others / 0.1).sum())
        assert found[row] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (UnitOf("features.14", 160), "no unit 160"),
        (UnitOf("features.99", 0), "no layer"),
        (Direction("features.14", [1.0, 2.0]), "160 units"),
        (Direction("features.14", "nowhere.npy"), "nowhere.npy"),
    ],
)
def test_mistakes_are_named(objective: Objective, message: str, subject: UnitSubject) -> None:
    with pytest.raises(MfvError, match=message):
        objective.bind(subject)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(MfvError, match="temperature"):
        ClassMargin(0)
    with pytest.raises(MfvError, match="beyond"):
        Constraint(FacetAnchor(), 0.5, beyond=2)
    with pytest.raises(MfvError, match="percentile"):
        FacetAnchor(cap=101)
    with pytest.raises(MfvError, match="beyond"):
        FacetAnchor(cap=90, beyond=-1)
