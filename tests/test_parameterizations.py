"""Parameterizations: what an image becomes in each, what a step does, and that runs stay as reliable as in pixels."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from mfv.data import FolderImages, PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.objectives import UnitActivation
from mfv.parameterizations import ColorBasis, FixedMagnitude, Fourier, Parameterization, Pixels
from mfv.parameterizations.color import HAIR, IMAGENET, RGB
from mfv.parameterizations.spectrum import (
    frequency_scale,
    mean_spectrum,
    photographs_spectrum,
    resampled_spectrum,
)
from mfv.regularizers import Jitter, Padding, RandomAffine, TVPenalty, TVProx
from mfv.rendering import ActivationMaximizer, Octave, Recipe, UnitPart, UnitSubject, one_octave_recipe, render

SIDE = 96  # of what the network is shown here: quick, and large enough for MobileNetV2
UNIT = 967
KINDS = sorted(Parameterization.__subclasses__(), key=lambda kind: kind.__name__)
FREE = [Pixels(), Fourier(), Fourier(exponent=0.5, color="none"), Fourier(color="images")]
SAMPLE = Path(__file__).resolve().parents[2] / "shared" / "data" / "imagenet-sample"


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture(scope="module")
def photos() -> Tensor:
    source, preprocess = PhotoCrops(), Preprocess(SIDE, SIDE)
    rows = np.linspace(0, len(source) - 1, 12).astype(int)
    return torch.stack([(preprocess(source.load(int(row))) * 255).round().byte() for row in rows])


@pytest.fixture(scope="module")
def subject(model: TargetModel, photos: Tensor) -> UnitSubject:
    activations = np.arange(len(photos), dtype=np.float32)
    return UnitSubject(model, "classifier.1", UNIT, None, photos, np.repeat(np.arange(4), 3), activations)


@pytest.fixture(scope="module")
def starts(subject: UnitSubject) -> Tensor:
    return torch.stack([subject.pixels[subject.assignment() == k].float().mean(0) / 255 for k in range(4)])


def maximizer(subject: UnitSubject, starts: Tensor, facets: list[int], recipe: Recipe) -> ActivationMaximizer:
    rows, recipe = torch.tensor(facets, dtype=torch.long), recipe.bind(subject)
    bound = [octave.objective.bind(subject) for octave in recipe.octaves]
    return ActivationMaximizer(subject.model, [UnitPart(recipe, bound, rows)], starts[rows], seed=3, input_size=SIDE)


def short(parameterization: Parameterization, iterations: int = 30) -> Recipe:
    """Return a recipe that suits the parameterization: Adam, and of pixels the usual step in grey levels."""
    step = 2.0 if isinstance(parameterization, Pixels) else 0.05
    octave = Octave(iterations, step, objective=UnitActivation(), regularizers=(RandomAffine(5.0, 0.9, 1.0),))
    return Recipe((octave,), optimizer="adam", momentum=0.9, parameterization=parameterization)


# --- images in and out --------------------------------------------------------------------------


@pytest.mark.parametrize("parameterization", FREE, ids=repr)
def test_a_photograph_comes_back(parameterization: Parameterization, subject: UnitSubject, photos: Tensor) -> None:
    bound, pixels = parameterization.bind(subject), photos.float() / 255
    back = bound.decode(bound.encode(pixels))
    assert (back - pixels).abs().max() <= HAIR + 1e-5
    assert torch.equal((back * 255).round().byte(), photos)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("side", [32, 35])
def test_any_parameters_are_images(kind: type[Parameterization], side: int) -> None:
    parameterization, generator = kind(), torch.Generator().manual_seed(0)
    parameters = parameterization.encode(torch.rand(2, 3, side, side, generator=generator))
    assert parameters.dtype == torch.float32
    assert parameters.isfinite().all()
    noisy = parameters + torch.randn(parameters.shape, generator=generator)
    images = parameterization.decode(noisy)
    assert images.shape == (2, 3, side, side)
    if parameterization.bounded:
        assert images.min() >= 0
        assert images.max() <= 1
    again = parameterization.decode(parameterization.encode(images))  # what it can show, it keeps
    assert (again - images).abs().max() <= HAIR + 1e-4
    assert len(parameterization.encode(images[:0])) == 0
    assert parameterization.decode(noisy[:0]).shape == (0, 3, side, side)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_gradients_are_the_finite_differences(kind: type[Parameterization], subject: UnitSubject) -> None:
    for side in (6, 7):
        bound = kind().bind(subject)
        pixels = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)).double()
        parameters = bound.encode(pixels).detach().requires_grad_(True)
        assert torch.autograd.gradcheck(bound.decode, (parameters,), atol=1e-7)


def test_an_image_in_inference_mode_spoils_no_later_gradient() -> None:
    for parameterization in (Fourier(exponent=0.77), FixedMagnitude()):
        with torch.inference_mode():
            parameters = parameterization.encode(torch.rand(1, 3, 18, 18))
        parameters = parameters.clone().requires_grad_(True)
        parameterization.decode(parameters).sum().backward()


# --- colour -------------------------------------------------------------------------------------


def test_the_images_own_axes_decorrelate_them(photos: Tensor) -> None:
    basis = ColorBasis.of(photos)
    covariance = pixel_covariance(basis.unmix(photos.float() / 255))
    assert np.abs(covariance - np.eye(3)).max() < 1e-4
    assert np.abs(pixel_covariance(basis.mix(basis.unmix(photos.float() / 255)) * 255 - photos)).max() < 1e-6
    assert max(math.hypot(*column) for column in zip(*basis.normalized.matrix, strict=True)) == pytest.approx(1)


def test_imagenets_axes_decorrelate_imagenet() -> None:
    if not SAMPLE.is_dir():
        pytest.skip(f"no ImageNet photographs in {SAMPLE}")
    source, preprocess = FolderImages(SAMPLE), Preprocess(64, 64)
    pixels = torch.stack([preprocess(source.load(row)) for row in range(0, len(source), 5)])
    covariance = pixel_covariance(IMAGENET.unmix(pixels))
    print("covariance of ImageNet's pixels in its axes:", covariance.round(2).tolist())
    assert np.abs(covariance - np.eye(3)).max() < 0.2
    assert np.abs(np.corrcoef(flat(pixels))).min() > 0.7  # red, green and blue themselves go together


def test_grey_photographs_have_axes_too() -> None:
    grey = torch.randint(256, (3, 1, 16, 16), generator=torch.Generator().manual_seed(0)).byte().expand(3, 3, 16, 16)
    basis = ColorBasis.of(grey)
    pixels = grey.float() / 255
    assert (basis.mix(basis.unmix(pixels)) - pixels).abs().max() < 1e-5


def pixel_covariance(images: Tensor) -> np.ndarray:
    return np.cov(flat(images))


def flat(images: Tensor) -> np.ndarray:
    return images.double().transpose(0, 1).reshape(3, -1).numpy()


# --- Fourier ------------------------------------------------------------------------------------


class Linear(nn.Module):
    """A unit whose gradient is known: Σ weight·x."""

    def __init__(self, size: int):
        super().__init__()
        self.register_buffer("weight", torch.randn(3, size, size, generator=torch.Generator().manual_seed(1)))
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last((self.weight * x).sum((1, 2, 3))[:, None])


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("size", [16, 15])
def test_a_step_is_what_theory_says(exponent: float, normalize: bool, size: int) -> None:
    network = Linear(size)
    model = TargetModel(network, input_size=size, mean=(0, 0, 0), std=(1, 1, 1), code_layer="last", anchor_layer="last")
    start = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(2))
    toy = UnitSubject(model, "last", 0, None, (start * 255).byte(), np.array([0]), np.array([0.0]))
    step = 0.03 if normalize else 10.0
    recipe = Recipe((Octave(1, step, normalize=normalize),), parameterization=Fourier(exponent))
    ours = ActivationMaximizer(model, [UnitPart(recipe, [UnitActivation().bind(toy)], torch.tensor([0]))], start).run()[
        0
    ]

    # In NumPy, with whole spectra: x = sigmoid(M·z), z = IDFT(c / f^e) / 4, where c_{−f} = conj c_f are one parameter.
    matrix = np.array(IMAGENET.normalized.matrix)
    x = np.clip(start[0].double().numpy(), HAIR, 1 - HAIR)
    logit = np.log(x / (1 - x))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size)[None])
    frequency[0, 0] = 1 / size
    z = np.einsum("ij,jhw->ihw", np.linalg.inv(matrix), logit)
    c = 4 * np.fft.fft2(z, norm="ortho") * frequency**exponent
    by_logit = network.weight.double().numpy() * x * (1 - x)
    by_z = np.einsum("ij,ihw->jhw", matrix, by_logit) / 4
    by_c = np.fft.fft2(by_z, norm="ortho") / frequency**exponent
    columns = np.arange(size)
    pairs = np.where((columns == 0) | (2 * columns == size), 1.0, 2.0)  # a column that stands for its mirror's too
    gradient = by_c * pairs
    if normalize:
        half = gradient[:, :, : size // 2 + 1]
        gradient = gradient / np.abs(np.stack([half.real, half.imag])).mean()
    c = c + step * gradient
    z = np.fft.ifft2(c / frequency**exponent, norm="ortho").real / 4
    expected = 1 / (1 + np.exp(-np.einsum("ij,jhw->ihw", matrix, z)))
    difference = np.abs(ours.double().numpy() - expected).max()
    assert difference < 2e-5
    assert np.abs(expected - x).max() > 10 * difference


# --- fixed magnitudes ---------------------------------------------------------------------------


@pytest.mark.parametrize("side", [24, 25])
def test_only_phases_change(side: int, subject: UnitSubject, starts: Tensor) -> None:
    bound = FixedMagnitude().bind(subject)
    phases = 7 * torch.rand(2, 3, side, side // 2 + 1, generator=torch.Generator().manual_seed(0)).double()
    found = torch.fft.rfft2(bound.basis.unmix(bound.decode(phases).logit()), norm="ortho").abs()
    fixed = bound.magnitude(side, torch.float64, torch.device("cpu")).expand_as(found)
    own = torch.zeros(side, side // 2 + 1, dtype=torch.bool)  # f = −f: real coefficients
    for row in (0, side / 2):
        for column in (0, side / 2):
            if row == int(row) and column == int(column):
                own[int(row), int(column)] = True
    assert torch.allclose(found[..., ~own], fixed[..., ~own], rtol=1e-6)
    assert (found[..., own] <= fixed[..., own] * (1 + 1e-6)).all()


def test_a_run_moves_phases_and_nothing_else(subject: UnitSubject, starts: Tensor) -> None:
    painter = maximizer(subject, starts, [0, 1], short(FixedMagnitude(), 8))
    before = painter.canvas.detach().clone()
    images = painter.run()
    assert (painter.canvas - before).abs().mean() > 0.05
    basis = painter.recipe.parameterization.basis
    found = torch.fft.rfft2(basis.unmix(images.double().clamp(1e-7, 1 - 1e-7).logit()), norm="ortho").abs()[..., 1:-1]
    fixed = painter.recipe.parameterization.magnitude(SIDE, torch.float64, torch.device("cpu"))[..., 1:-1]
    assert ((found - fixed).abs() / fixed).max() < 0.05  # float32, and a sigmoid that flattens at its ends


def test_a_start_keeps_its_phases(photos: Tensor) -> None:
    pixels = photos.float() / 255
    shown = FixedMagnitude("photographs").decode(FixedMagnitude("photographs").encode(pixels))
    brightness, ours = pixels.mean(1).flatten(1), shown.mean(1).flatten(1)
    likeness = [float(np.corrcoef(a, b)[0, 1]) for a, b in zip(brightness.numpy(), ours.numpy(), strict=True)]
    assert min(likeness) > 0.5
    only = FixedMagnitude().bind(one_photo := Photo(photos[:1]))  # with its own magnitudes, the photograph itself
    assert (only.decode(only.encode(one_photo.pixels.float() / 255)) * 255 - photos[:1]).abs().mean() < 1


class Photo:
    def __init__(self, pixels: Tensor):
        self.pixels = pixels


def test_a_flat_start_is_a_texture_not_a_spike() -> None:
    image = FixedMagnitude().decode(FixedMagnitude().encode(torch.full((1, 3, 64, 64), 0.45)))
    quarters = image.unfold(2, 32, 32).unfold(3, 32, 32).std((-1, -2))
    assert quarters.min() > 0.05


def test_a_spectrum_for_another_size() -> None:
    law = 1 / frequency_scale(48, -0.3, torch.float32, torch.device("cpu"))
    spectrum = law.expand(3, -1, -1).clone()
    for side in (24, 31, 48, 80):
        expected = 1 / frequency_scale(side, -0.3, torch.float32, torch.device("cpu"))
        found = resampled_spectrum(spectrum, side)
        assert found.shape == (3, side, side // 2 + 1)
        near = expected < 1.2 * float(law.max())  # lower frequencies than were measured stay at the lowest one's level
        assert ((found - expected).abs() / expected)[:, near].flatten(1)[:, 1:].mean() < 0.02
        assert torch.allclose(found[:, 0, 0], spectrum[:, 0, 0])


@pytest.fixture(scope="module")
def measured() -> dict[int, Tensor]:
    """The spectra of a ninth of the bundled photographs' large crops, at several sizes."""
    source = PhotoCrops()
    some = [row for row in range(len(source)) if source.load(row).width >= 224][::9]
    spectra = {}
    for side in (128, 160, 224):
        preprocess = Preprocess(side, side)
        pixels = torch.stack([(preprocess(source.load(row)) * 255).round().byte() for row in some])
        spectra[side] = mean_spectrum(pixels, IMAGENET.normalized)
    return spectra


@pytest.mark.parametrize("side", [128, 160])
def test_a_smaller_spectrum_is_that_of_smaller_photographs(side: int, measured: dict[int, Tensor]) -> None:
    error = (resampled_spectrum(measured[224], side) - measured[side]).abs() / measured[side]
    print(f"from 224 to {side} pixels: median relative difference {float(error.median()):.3f}")
    assert error.median() < 0.15


def test_the_photographs_spectrum_is_theirs(measured: dict[int, Tensor]) -> None:
    shipped, some = photographs_spectrum(), measured[224]
    assert shipped.shape == some.shape == (3, 224, 113)
    ratio = (some / shipped).mean((1, 2))
    print("a ninth of the photographs against all:", ratio.tolist())
    assert (ratio > 0.8).all()
    assert (ratio < 1.25).all()


# --- in the loop --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_unit_rises(kind: type[Parameterization], subject: UnitSubject, starts: Tensor) -> None:
    painter = maximizer(subject, starts, [0, 1], short(kind()))
    before = painter.pixels().clone()
    images = painter.run()
    with torch.inference_mode():
        values = [subject.model(pixels)[:, UNIT] for pixels in (before, images)]
    print(f"{kind.__name__}: from {values[0].tolist()} to {values[1].tolist()}")
    assert (values[1] > values[0] + 5).all()
    assert images.min() >= 0
    assert images.max() <= 1


@pytest.mark.parametrize(("name", "kind"), [("lucid", Fourier), ("maco", FixedMagnitude)])
def test_the_presets_paint(name: str, kind: type[Parameterization], subject: UnitSubject, starts: Tensor) -> None:
    config = OmegaConf.load(Path(__file__).resolve().parents[1] / "conf" / "render" / f"{name}.yaml")
    config.iterations = 40
    recipe = instantiate(config, _convert_="all")
    assert isinstance(recipe.parameterization, kind)
    painter = maximizer(subject, starts, [0, 1], recipe)
    painter.run()
    print(f"{name}: the unit's values at every tenth step {painter.curves[::10].tolist()}")
    assert (painter.curves[-5:].mean(0) > painter.curves[0] + 2).all()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_process_without_images_keeps_count(
    kind: type[Parameterization], subject: UnitSubject, starts: Tensor
) -> None:
    assert maximizer(subject, starts, [], growing(kind())).run().shape == (0, 3, 115, 115)


@pytest.mark.parametrize("parameterization", [Fourier(color="images"), FixedMagnitude()], ids=repr)
def test_four_together_equal_four_alone(
    parameterization: Parameterization, subject: UnitSubject, starts: Tensor
) -> None:
    recipe = short(parameterization, 10)
    recipe = replace(recipe, octaves=(replace(recipe.octaves[0], regularizers=(RandomAffine(), TVProx())),))
    together = maximizer(subject, starts, [0, 1, 2, 3], recipe).run()
    alone = torch.cat([maximizer(subject, starts, [k], recipe).run() for k in range(4)])
    difference = (together - alone).abs().max().item()
    print(f"four together against four alone: max difference {difference:.1e}")
    assert difference <= 1e-4


@pytest.mark.parametrize("parameterization", FREE, ids=repr)
def test_an_image_that_one_starts_from_is_shown(
    parameterization: Parameterization, subject: UnitSubject, starts: Tensor
) -> None:
    recipe = replace(short(parameterization), start="image")
    assert (maximizer(subject, starts, [2], recipe).pixels() - starts[2:3]).abs().max() <= HAIR + 1e-5


@pytest.mark.parametrize("parameterization", [Pixels(), Fourier()], ids=repr)
def test_gray_is_zero_for_the_network(parameterization: Parameterization, subject: UnitSubject, starts: Tensor) -> None:
    gray = maximizer(subject, starts, [0, 1], replace(short(parameterization), start="gray")).pixels()
    assert subject.model.normalize(gray).abs().max() < 1e-4


def test_noise_around_the_models_mean(subject: UnitSubject, starts: Tensor) -> None:
    recipe = replace(short(Pixels()), start="noise", noise=(None, 10.0))
    noise = maximizer(subject, starts, [0, 1], recipe).pixels()
    assert (noise.mean((0, 2, 3)) - subject.model.mean.flatten()).abs().max() < 1e-3
    assert float(noise.std((2, 3)).mean()) * 255 == pytest.approx(10, abs=0.5)


def test_the_network_is_shown_its_input_size(subject: UnitSubject, starts: Tensor) -> None:
    only_this_size = replace_head(subject.model)
    octave = Octave(2, 2.0, objective=UnitActivation(), regularizers=(Padding(12), Jitter(8, "crop")))
    bound = [octave.objective.bind(subject)]
    painter = ActivationMaximizer(
        only_this_size, [UnitPart(Recipe((octave,)), bound, torch.tensor([0]))], starts[:1], input_size=SIDE
    )
    assert painter.run().shape == (1, 3, SIDE, SIDE)


def replace_head(model: TargetModel) -> TargetModel:
    """Return the model with a check of the size that it is shown."""

    class OneSize(nn.Module):
        def __init__(self, network: nn.Module):
            super().__init__()
            self.features, self.classifier = network.features, network.classifier

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[-2:] == (SIDE, SIDE)
            return self.classifier(self.features(x).mean((2, 3)))

    return TargetModel(OneSize(model.network), input_size=SIDE)


def test_projections_and_penalties_reach_the_image(subject: UnitSubject, starts: Tensor) -> None:
    variations = []
    for regularizers in ((), (TVProx(3.0, sweeps=4),), (TVPenalty(3e4),)):
        octave = Octave(15, 0.05, objective=UnitActivation(), regularizers=regularizers)
        recipe = Recipe((octave,), optimizer="adam", momentum=0.9, parameterization=Fourier())
        images = maximizer(subject, starts, [0], recipe).run()
        variations.append(float(images.diff(dim=-1).abs().mean()))
    print("variation without, with projection, with penalty:", variations)
    assert variations[1] < 0.7 * variations[0]
    assert variations[2] < 0.7 * variations[0]


def growing(parameterization: Parameterization) -> Recipe:
    """Return two short octaves with all that a checkpoint keeps: Adam's moments, duals, a growing canvas, jitter."""
    regularizers = (RandomAffine(), TVProx(0.5))
    return Recipe(
        (
            Octave(4, 0.05, objective=UnitActivation(), regularizers=regularizers, normalize=False),
            Octave(5, 0.05, 1.2, 0.3, UnitActivation(), regularizers, normalize=False),
        ),
        optimizer="adam",
        momentum=0.9,
        parameterization=parameterization,
    )


@pytest.mark.parametrize(
    ("parameterization", "stop"), [(Fourier(), 3), (Fourier(color="images"), 7), (FixedMagnitude(), 4)], ids=repr
)
def test_a_broken_run_goes_on_as_if_unbroken(
    parameterization: Parameterization,
    stop: int,
    model: TargetModel,
    subject: UnitSubject,
    starts: Tensor,
    tmp_path: Path,
    killed_at: Callable[[int], AbstractContextManager[None]],
) -> None:
    recipe = growing(parameterization)
    options = {"input_size": SIDE, "progress": False, "snapshot_every": 4, "checkpoint_every": 2, "accelerator": "cpu"}
    whole = render(model, recipe, subject, starts, directory=tmp_path / "whole", **options)
    assert whole.images.shape == (4, 3, 115, 115)
    assert whole.images.min() >= 0
    assert whole.images.max() <= 1
    with killed_at(stop):
        render(model, recipe, subject, starts, directory=tmp_path / "broken", **options)
    resumed = render(model, recipe, subject, starts, directory=tmp_path / "broken", **options)
    assert torch.equal(whole.images, resumed.images)
    assert torch.equal(whole.curves, resumed.curves)
    assert whole.snapshots.keys() == resumed.snapshots.keys() == {4, 8}
    assert all(torch.equal(whole.snapshots[step], resumed.snapshots[step]) for step in (4, 8))


def test_a_run_broken_in_one_process_goes_on_in_two(
    model: TargetModel,
    subject: UnitSubject,
    starts: Tensor,
    tmp_path: Path,
    killed_at: Callable[[int], AbstractContextManager[None]],
    threads_of: Callable[[int], AbstractContextManager[None]],
) -> None:
    recipe = growing(Fourier(color="images"))
    options = {"input_size": SIDE, "progress": False, "snapshot_every": 4, "checkpoint_every": 2, "accelerator": "cpu"}
    with threads_of(2):
        whole = render(model, recipe, subject, starts[:3], directory=tmp_path / "whole", **options)
        with killed_at(7):
            render(model, recipe, subject, starts[:3], directory=tmp_path / "broken", **options)
    resumed = render(model, recipe, subject, starts[:3], directory=tmp_path / "broken", devices=2, **options)
    difference = (whole.images - resumed.images).abs().max().item()
    print(f"broken in one process, finished in two: max difference {difference:.1e}")
    assert difference <= 1e-4


def test_another_parameterization_cannot_go_on(
    model: TargetModel,
    subject: UnitSubject,
    starts: Tensor,
    tmp_path: Path,
    killed_at: Callable[[int], AbstractContextManager[None]],
) -> None:
    options = {"input_size": SIDE, "progress": False, "checkpoint_every": 1, "accelerator": "cpu"}
    with killed_at(1):
        render(model, growing(Fourier()), subject, starts[:1], directory=tmp_path, **options)
    with pytest.raises(MfvError, match="Fourier; now 1 facets, 9 steps, FixedMagnitude"):
        render(model, growing(FixedMagnitude()), subject, starts[:1], directory=tmp_path, **options)


# --- mistakes -----------------------------------------------------------------------------------


def test_mistakes_are_named() -> None:
    octave = Octave(1)
    with pytest.raises(MfvError, match=r"start is 'grey'; it is one of .*gray"):
        Recipe((octave,), start="grey")
    with pytest.raises(MfvError, match="parameterization is 'fourier', not a Parameterization"):
        Recipe((octave,), parameterization="fourier")
    for parameterization in (Fourier(), FixedMagnitude()):
        with pytest.raises(MfvError, match=r"\(1, 3, 20, 24\)"):
            parameterization.encode(torch.zeros(1, 3, 20, 24))
    objectives = {"unit": {"objective": UnitActivation(), "weight": 1.0}}
    with pytest.raises(MfvError, match="noise is"):
        one_octave_recipe(1, 1.0, objectives, {}, noise=[10.0, None])
    assert Fourier(color="none").basis == RGB
