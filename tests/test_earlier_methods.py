"""The earlier methods: their published numbers, and every preset raises class units and hidden channels."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from mfv.activations.values import unit_values
from mfv.data import PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import RelativeActivation, TopicActivation, UnitActivation
from mfv.regularizers import AlphaNorm, Decay, GaussianBlur, Jitter, PatchPrior, StepBounds, TVPenalty
from mfv.rendering import ActivationMaximizer, Octave, Recipe, UnitPart, UnitSubject, octaves_recipe
from mfv.rendering.maximizer import resized
from mfv.schedules import value_at

CONF = Path(__file__).resolve().parents[1] / "conf" / "render"
PRESETS = sorted(path.stem for path in CONF.glob("*.yaml"))
STEPS = 12
SIDE = 128  # of the views: large enough for the network, and quick


def load(name: str) -> DictConfig:
    config = OmegaConf.load(CONF / f"{name}.yaml")
    assert isinstance(config, DictConfig)
    return config


def make(config: DictConfig) -> Recipe:
    return instantiate(config, _convert_="all")


def shortened(name: str, steps: int = STEPS) -> Recipe:
    """Return a preset with about `steps` steps, or five times as many in proportion where it has octaves."""
    config = load(name)
    if "octaves" in config:
        parts = list(config.octaves.values()) if isinstance(config.octaves, DictConfig) else list(config.octaves)
        total = sum(part.iterations for part in parts)
        for part in parts:
            part.iterations = max(2, round(5 * steps * part.iterations / total))
    else:
        config.iterations = steps
    return make(config)


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def photographs(model: TargetModel) -> Tensor:
    source, preprocess = PhotoCrops(), Preprocess(SIDE, SIDE)
    rows = np.linspace(0, len(source) - 1, 24).astype(int)
    return torch.stack([(preprocess(source.load(int(row))) * 255).round().byte() for row in rows])


def values(model: TargetModel, images: Tensor, layer: str, index: int) -> Tensor:
    with torch.inference_mode():
        return unit_values(model.activations(images, [layer])[layer])[0][:, index]


def subject_of(model: TargetModel, photographs: Tensor, layer: str, index: int) -> UnitSubject:
    layer = model.before_activation(layer)
    activations = values(model, photographs.float() / 255, layer, index).numpy()
    return UnitSubject(model, layer, index, None, photographs, np.arange(len(photographs)) % 2, activations)


def maximizer(recipe: Recipe, subject: UnitSubject) -> ActivationMaximizer:
    facets = (0, 1)
    recipe = recipe.bind(subject)
    bound = [octave.objective.bind(subject) for octave in recipe.octaves]
    means = torch.stack([subject.pixels[subject.assignment() == k].float().mean(0) / 255 for k in facets])
    return ActivationMaximizer(
        subject.model,
        [UnitPart(recipe, bound, torch.tensor(facets))],
        means,
        seed=2,
        input_size=subject.pixels.shape[-1],
    )


@pytest.mark.parametrize(("layer", "index"), [("classifier.1", 945), ("features.14", 100)], ids=["class", "hidden"])
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_raises_the_unit(
    model: TargetModel, photographs: Tensor, name: str, layer: str, index: int
) -> None:
    subject = subject_of(model, photographs, layer, index)
    # From noise, whose grain alone excites a channel, and under its heavy smoothing, center_bias needs longer.
    steps = 3 * STEPS if (name, layer) == ("center_bias", "features.14") else STEPS
    rendering = maximizer(shortened(name, steps), subject)
    before = rendering.pixels().clone()
    images = rendering.run()
    start, end = (values(model, resized(x, SIDE).clamp(0, 1), subject.layer, index) for x in (before, images))
    print(f"{name}, {layer} {index}: {start.tolist()} to {end.tolist()}")
    assert end.mean() > start.mean()
    assert torch.isfinite(images).all()
    assert images.min() >= 0
    assert images.max() <= 1
    assert (images.amax((2, 3)) - images.amin((2, 3)) > 0.01).all()  # not one plain colour


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_takes_a_unit_that_sees_little(model: TargetModel, photographs: Tensor, name: str) -> None:
    small = photographs[..., 40:67, 40:67].contiguous()
    rendering = maximizer(shortened(name), subject_of(model, small, "features.2", 3))
    images = rendering.run()
    assert images.shape[-1] >= 27
    assert torch.isfinite(images).all()
    assert torch.isfinite(rendering.curves).all()


# --- published numbers ----------------------------------------------------------------------------


def only(recipe: Recipe, kind: type) -> object:
    (found,) = (part for part in recipe.octaves[0].regularizers if isinstance(part, kind))
    return found


def test_simonyan_climbs_the_score_alone_from_the_mean_color() -> None:
    recipe = make(load("simonyan"))
    assert recipe.start == "gray"
    assert len(recipe.octaves[0].regularizers) == 1


def test_yosinski_has_the_papers_numbers() -> None:
    recipe = make(load("yosinski"))
    assert recipe.steps == 1000
    assert recipe.noise == (None, 10.0)
    assert recipe.octaves[0].normalize is False
    assert only(recipe, Decay) == Decay(1e-4)
    assert only(recipe, GaussianBlur) == GaussianBlur(1.0, 4)


def test_mahendran_has_the_released_numbers() -> None:
    recipe = make(load("mahendran"))
    assert recipe.steps == 300
    assert (recipe.optimizer, recipe.momentum) == ("adam", 0.9)
    assert only(recipe, AlphaNorm) == AlphaNorm(1.0, 6.0, 80.0, 160.0)
    penalty = only(recipe, TVPenalty)
    assert isinstance(penalty, TVPenalty)
    assert penalty.beta == 2
    # (6.5/80)² per squared grey level and channel, for a mean over 3 channels of squares of 1/255 grey levels
    assert penalty.weight == pytest.approx((6.5 / 80) ** 2 * 255**2 * 3, rel=1e-3)
    assert only(recipe, Jitter) == Jitter(32 // 4, "crop")


def test_oygard_follows_the_notebooks_table_step_by_step() -> None:
    table = [  # iterations, canvas, blur from and to, step from and to
        (190, 1.0, 2.5, 0.78, 11.0, 11.0),
        (150, 1.2, 0.78 * 1.2, 0.78, 6.0, 6.0),
        (150, 1.44, 0.78 * 1.2, 0.44, 6.0, 3.0),
        (10, 1.44, 0.44, 0.304, 3.0, 3.0),
    ]
    recipe = make(load("oygard"))
    assert recipe.noise == (200.0, 8.0)
    for octave, (count, scale, blur_0, blur_1, step_0, step_1) in zip(recipe.octaves, table, strict=True):
        assert (octave.iterations, octave.scale) == (count, scale)
        assert octave.jitter == (0.3 if scale > 1 else None)
        (blur,) = octave.regularizers
        assert isinstance(blur, GaussianBlur)
        assert blur.every == 1
        for i in range(count):
            t = i / (count - 1)
            assert value_at(blur.sigma, i, count) == pytest.approx(blur_0 + (blur_1 - blur_0) * t)
            assert value_at(octave.step, i, count) == pytest.approx(step_0 + (step_1 - step_0) * t)


def test_wei_has_the_papers_numbers() -> None:
    recipe = make(load("wei"))
    assert recipe.steps == 200
    assert recipe.octaves[0].normalize is False
    bounds, prior = only(recipe, StepBounds), only(recipe, PatchPrior)
    assert isinstance(bounds, StepBounds)
    assert isinstance(prior, PatchPrior)
    assert (bounds.smallest, bounds.largest) == (0.1, 100.0)
    assert value_at(bounds.rate, 0, 200) == pytest.approx(5 * value_at(bounds.rate, 199, 200))
    assert prior.weight == 0.01
    assert recipe.momentum == 0.9


# --- their objectives -----------------------------------------------------------------------------


def topic_values(subject: UnitSubject, images: Tensor, share: float, facets: Tensor) -> Tensor:
    objective = TopicActivation(share).bind(subject)
    activations = subject.model.activations(images.requires_grad_(), list(objective.layers))
    return objective(activations, facets, 0.0).detach()


def test_a_topic_is_the_class_with_the_other_codes_masked(model: TargetModel, photographs: Tensor) -> None:
    subject = subject_of(model, photographs, "classifier.1", 945)
    images, facets = photographs[:4].float() / 255, torch.tensor([0, 1, 1, 0])
    found = topic_values(subject, images, 0.25, facets)

    linear = model.network.get_submodule("classifier.1")
    codes, assignment = subject.codes("codes").double().numpy(), subject.assignment().numpy()
    for image, facet in enumerate(facets.tolist()):
        lead = codes[assignment == facet].mean(0) - codes.mean(0)
        masked = codes[image].copy()
        masked[np.argsort(-lead)[320:]] = 0
        assert float(found[image]) == pytest.approx(masked @ linear.weight[945].double().numpy(), abs=2e-3)

    whole = topic_values(subject, images, 1.0, facets)
    assert torch.allclose(whole + linear.bias[945], values(model, images, "classifier.1", 945), atol=1e-4)


def test_a_hidden_unit_has_no_topics(model: TargetModel, photographs: Tensor) -> None:
    subject = subject_of(model, photographs, "features.14", 100)
    assert isinstance(TopicActivation().bind(subject), UnitActivation)


def test_relative_to_the_best_photograph(model: TargetModel, photographs: Tensor) -> None:
    subject = subject_of(model, photographs, "features.14", 100)
    objective = RelativeActivation().bind(subject)
    images = photographs.float() / 255
    with torch.inference_mode():
        found = objective(model.activations(images, [subject.layer]), torch.zeros(len(images)), 0.0)
    assert found.max().item() == pytest.approx(1, abs=1e-5)
    assert found.argmax() == subject.activations().argmax()


# --- recipes of several octaves -------------------------------------------------------------------


def test_named_octaves_keep_their_order_and_can_be_left_out() -> None:
    blur = GaussianBlur(2.0, 1)
    recipe = octaves_recipe(
        {
            "one": {"iterations": 3, "step": 2.0, "regularizers": {"blur": blur, "decay": None}},
            "two": None,
            "three": {"iterations": 4, "scale": 1.2, "jitter": 0.3},
        },
        start="gray",
    )
    assert recipe.octaves[0].regularizers == (blur,)
    assert [octave.iterations for octave in recipe.octaves] == [3, 4]
    assert recipe.octaves[1].canvas_size(100) == 120
    assert isinstance(recipe.octaves[0], Octave)


@pytest.mark.parametrize(
    ("octave", "message"),
    [({"steps": 3}, "octaves.one has no setting 'steps'"), ({"step": 3.0}, "octaves.one lacks its iterations")],
)
def test_a_wrong_octave_is_named(octave: dict, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        octaves_recipe({"one": octave})
