"""Every regularizer against a known answer or a slow twin; images do not see one another."""

import copy
from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn
from torch.nn import functional as F

import mfv.regularizers
from mfv.data import PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models.target import IMAGENET_MEAN, TargetModel
from mfv.objectives import UnitActivation
from mfv.regularizers import (
    AlphaNorm,
    Decay,
    GaussianBlur,
    GaussianNoise,
    Jitter,
    L2Penalty,
    Moment,
    Padding,
    PatchPrior,
    RandomAffine,
    RandomCrop,
    RandomScale,
    RandomTone,
    Regularizer,
    SmallContributionClipping,
    SmallNormClipping,
    SpectralGradient,
    StepBounds,
    TVPenalty,
    TVProx,
)
from mfv.regularizers.affine import view
from mfv.regularizers.patches import PatchDatabase
from mfv.regularizers.tv_prox import variation
from mfv.rendering import ActivationMaximizer, Octave, Recipe, UnitPart, UnitSubject
from mfv.rendering.starts import at_natural_contrast
from mfv.schedules import Linear

SIZE = 32
FACETS = 3
MEAN = torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1)


class Small(nn.Module):
    """A smooth network of 4 units, which any size of image passes through."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.first, self.second = nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, stride=2)
            self.last = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x)))).mean((2, 3)))


@pytest.fixture(scope="module")
def subject() -> UnitSubject:
    model = TargetModel(Small(), input_size=SIZE, code_layer="last:in", anchor_layer="second")
    pixels = torch.randint(0, 256, (12, 3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return UnitSubject(model, "last", 1, None, pixels, np.arange(12) % FACETS, np.linspace(0, 1, 12))


def images(count: int = FACETS, size: int = SIZE, seed: int = 2) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def maximizer(
    subject: UnitSubject, regularizers: Sequence[Regularizer], facets: Sequence[int] = range(FACETS), **octave: float
) -> ActivationMaximizer:
    recipe = Recipe((Octave(6, step=4.0, regularizers=tuple(regularizers), **octave),)).bind(subject)  # type: ignore[arg-type]
    rows = torch.tensor(list(facets))
    return ActivationMaximizer(
        subject.model, [UnitPart(recipe, [UnitActivation().bind(subject)], rows)], images()[rows], seed=5
    )


def moment(subject: UnitSubject, facets: Sequence[int] = range(FACETS), step: int = 0) -> Moment:
    """Return the moment that a real rendering gives its regularizers."""
    made = maximizer(subject, (), facets)
    return made._moment(0, step, step)


# --- images are independent -----------------------------------------------------------------------

EXPORTED = [getattr(mfv.regularizers, name) for name in mfv.regularizers.__all__]
ALL = [
    kind for kind in EXPORTED if isinstance(kind, type) and issubclass(kind, Regularizer) and kind is not Regularizer
]
VARIANTS: list[Regularizer] = [
    *(kind() for kind in ALL),
    Jitter(5, "crop"),
    *(Padding(4, mode) for mode in ("constant", "reflect", "random")),
    RandomScale((0.8, 1.0, 1.3)),
    RandomCrop(0.3, 0.6, spread=0.2),
    PatchPrior(0.5, size=6, stride=3, every=2, own=False),
    TVProx(5.0, most=3.0),
]


@pytest.mark.parametrize("regularizer", VARIANTS, ids=str)
def test_three_images_equal_three_alone(subject: UnitSubject, regularizer: Regularizer) -> None:
    # A larger canvas, so that what is remembered moves with the view.
    together = maximizer(subject, [regularizer], scale=1.25, jitter=0.4).run()
    alone = torch.cat([maximizer(subject, [regularizer], [k], scale=1.25, jitter=0.4).run() for k in range(FACETS)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.isfinite(together).all()
    untouched = maximizer(subject, [], scale=1.25, jitter=0.4).run()
    assert not torch.equal(together, untouched)  # it did something


# --- penalties ------------------------------------------------------------------------------------


def test_l2_is_the_squared_distance_from_the_mean_color(subject: UnitSubject) -> None:
    now = moment(subject)
    assert torch.equal(now.mean_color, MEAN)
    shifted = (MEAN + 0.1).expand(FACETS, 3, SIZE, SIZE)
    assert L2Penalty(2.0).penalty(shifted, now) == pytest.approx([2 * 0.01 * 3 * SIZE**2] * FACETS, rel=1e-4)
    expected = 0.7 * ((images() - MEAN).double().numpy() ** 2).sum((1, 2, 3))
    assert L2Penalty(0.7).penalty(images(), now).numpy() == pytest.approx(expected, rel=1e-5)


def test_alpha_norm_leaves_half_the_target_alone_and_stops_twice_the_target(subject: UnitSubject) -> None:
    now = moment(subject)
    for norm, expected in ((40, 1 / 64), (80, 1), (160, 64)):  # grey levels
        pixels = MEAN.expand(FACETS, 3, SIZE, SIZE).clone()
        pixels[:, 1] += norm / 255
        assert AlphaNorm(3.0, bound=500).penalty(pixels, now) == pytest.approx([3 * expected] * FACETS, rel=1e-4)
    offset = (images() - MEAN).double().numpy() * 255
    expected = ((np.sqrt((offset**2).sum(1)) / 90) ** 4).mean((1, 2))
    assert AlphaNorm(1.0, alpha=4, target=90).penalty(images(), now).numpy() == pytest.approx(expected, rel=1e-4)


def test_alpha_norm_has_a_slope_at_the_mean_color(subject: UnitSubject) -> None:
    pixels = MEAN.expand(FACETS, 3, SIZE, SIZE).clone().requires_grad_(True)
    for alpha in (1, 1.5, 2, 6):
        value = AlphaNorm(1.0, alpha=alpha).penalty(pixels, moment(subject)).sum()
        assert torch.equal(torch.autograd.grad(value, pixels)[0], torch.zeros_like(pixels))


def test_alpha_norm_keeps_pixels_within_the_bound(subject: UnitSubject) -> None:
    kept = AlphaNorm(bound=100).project(images(), moment(subject))
    before = torch.linalg.vector_norm(images() - MEAN, dim=1) * 255
    after = torch.linalg.vector_norm(kept - MEAN, dim=1) * 255
    assert torch.allclose(after, before.clamp_max(100), atol=1e-3)
    direction = F.cosine_similarity(kept - MEAN, images() - MEAN, dim=1)
    assert direction.min() > 0.9999


def test_tv_penalty_is_the_mean_squared_difference(subject: UnitSubject) -> None:
    ramp = torch.arange(SIZE).float().expand(FACETS, 3, SIZE, SIZE) / 100  # .01 to the right, 0 down
    assert TVPenalty(5.0, beta=2.0).penalty(ramp, moment(subject)) == pytest.approx([5 * 1e-4] * FACETS, rel=1e-3)
    pixels = images().double().numpy()
    down, right = pixels[..., 1:, :-1] - pixels[..., :-1, :-1], pixels[..., :-1, 1:] - pixels[..., :-1, :-1]
    expected = ((down**2 + right**2) ** 0.75).mean((1, 2, 3))
    assert TVPenalty(1.0, beta=1.5).penalty(images(), moment(subject)).numpy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("penalty", [L2Penalty(0.3), AlphaNorm(0.5), TVPenalty(2.0), TVPenalty(1.0, 1.0)], ids=str)
def test_a_penaltys_gradient_is_its_slope(subject: UnitSubject, penalty: Regularizer) -> None:
    now = moment(subject)
    pixels = images(FACETS, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x: penalty.penalty(x, now), (pixels,), eps=1e-5, atol=1e-5)


# --- after the step -------------------------------------------------------------------------------


def test_decay_moves_toward_the_mean_color(subject: UnitSubject) -> None:
    decayed = Decay(0.25).project(images(), moment(subject))
    assert torch.allclose(decayed - MEAN, 0.75 * (images() - MEAN), atol=1e-6)


def test_blur_comes_every_so_many_steps(subject: UnitSubject) -> None:
    blurred = [
        not torch.equal(GaussianBlur(1.0, 3).project(images(), moment(subject, step=s)), images()) for s in range(6)
    ]
    assert blurred == [False, False, True, False, False, True]


def test_blur_spreads_a_dot_like_a_normal_density(subject: UnitSubject) -> None:
    dot = torch.zeros(1, 3, 33, 33)
    dot[..., 16, 16] = 1
    blurred = GaussianBlur(1.5, 1).project(dot, moment(subject, [0]))
    places = torch.arange(33) - 16.0
    assert blurred.sum().item() == pytest.approx(3, rel=1e-5)
    assert (blurred[0, 0].sum(0) * places**2).sum().item() == pytest.approx(1.5**2, rel=0.05)


def reference_clipping(pixels: Tensor, values: np.ndarray, percentile: float) -> Tensor:
    clipped = pixels.clone()
    for image, of_image in zip(clipped, values, strict=True):
        limit = np.percentile(of_image, percentile)
        image[:, torch.from_numpy(of_image < limit)] = MEAN[0, :, 0]
    return clipped


@pytest.mark.parametrize("percentile", [0, 20, 50, 97.3, 100])
def test_pixels_of_small_norm_go_to_the_mean_color(subject: UnitSubject, percentile: float) -> None:
    clipped = SmallNormClipping(percentile).project(images(), moment(subject))
    norm = torch.linalg.vector_norm(images() - MEAN, dim=1).numpy()
    assert torch.equal(clipped, reference_clipping(images(), norm, percentile))
    share = (clipped == MEAN).all(1).float().mean().item()
    assert share == pytest.approx(percentile / 100, abs=1.5 / SIZE**2)


def test_pixels_of_small_contribution_go_to_the_mean_color(subject: UnitSubject) -> None:
    regularizer, now = SmallContributionClipping(60), moment(subject)
    gradient = images(seed=9) - 0.5
    assert torch.equal(regularizer.gradient(gradient, now), gradient)
    clipped = regularizer.project(images(), now)
    contribution = ((images() - MEAN) * gradient).sum(1).abs().numpy()
    assert torch.equal(clipped, reference_clipping(images(), contribution, 60))


def test_a_percentile_beyond_100_is_named(subject: UnitSubject) -> None:
    with pytest.raises(MfvError, match="percentile is 120"):
        SmallNormClipping(120).project(images(), moment(subject))


def test_what_is_remembered_moves_with_the_view(subject: UnitSubject) -> None:
    made = maximizer(subject, (), scale=1.5, jitter=0.5)
    first, second = (made._moment(0, step, step) for step in range(2))
    kept = images(seed=4)
    first.remember("it", kept)
    seen = second.recall("it", 3)
    for image in range(FACETS):
        down, right = (second.offsets[image] - first.offsets[image]).tolist()
        for row, column in product((5, 16, 27), repeat=2):
            inside = 0 <= row + down < SIZE and 0 <= column + right < SIZE
            expected = kept[image, :, row + down, column + right] if inside else torch.zeros(3)
            assert torch.equal(seen[image, :, row, column], expected)
    assert not torch.equal(first.offsets, second.offsets)


# --- the gradient ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("peak", "expected"), [(0.001, 0.1), (0.5, 5.0), (80.0, 100.0)])
def test_steps_stay_within_their_bounds(subject: UnitSubject, peak: float, expected: float) -> None:
    gradient = images() - 0.5
    gradient = gradient / gradient.abs().amax((1, 2, 3), keepdim=True) * peak
    gradient[2] = 0
    bounded = StepBounds(rate=10.0).gradient(gradient, moment(subject))
    assert bounded[:2].abs().amax((1, 2, 3)) == pytest.approx([expected] * 2, rel=1e-5)
    assert torch.allclose(bounded[:2] * peak, gradient[:2] * expected, atol=1e-5 * expected * peak)
    assert (bounded[2] == 0).all()


def test_the_rate_of_the_step_bounds_follows_a_schedule(subject: UnitSubject) -> None:
    gradient = torch.full((FACETS, 3, 4, 4), 1.0)
    bounds = StepBounds(Linear(10.0, 5.0))
    assert bounds.gradient(gradient, moment(subject, step=0)).max() == 10
    assert bounds.gradient(gradient, moment(subject, step=5)).max() == 5


# --- transforms -----------------------------------------------------------------------------------


def test_a_roll_is_a_roll(subject: UnitSubject) -> None:
    now = moment(subject)
    moved = Jitter(6, "roll").transform(images(), now)
    draws = now.uniform("jitter/roll/6", 2)
    places = [[int(13 * float(draw)) - 6 for draw in pair] for pair in draws]
    for image, place, result in zip(images(), places, moved, strict=True):
        assert torch.equal(torch.roll(image, place, (1, 2)), result)
    assert len({tuple(place) for place in places}) == FACETS  # each image has its own


def test_a_roll_reaches_both_ends(subject: UnitSubject) -> None:
    made = maximizer(subject, ())
    dot = torch.zeros(FACETS, 3, 8, 8)
    dot[..., 4, 4] = 1
    places = {
        tuple((result[0] == 1).nonzero()[0].tolist())
        for step in range(6)
        for result in Jitter(1, "roll").transform(dot, made._moment(0, step, step))
    }
    assert places <= set(product((3, 4, 5), repeat=2))
    assert {row for row, _ in places} == {3, 4, 5}


def test_a_crop_is_a_slice_and_its_gradient_goes_where_it_came_from(subject: UnitSubject) -> None:
    now = moment(subject)
    pixels = images().requires_grad_()
    seen = Jitter(7, "crop").transform(pixels, now)
    assert seen.shape == (FACETS, 3, SIZE - 7, SIZE - 7)
    upstream = images(seed=8)[..., 7:, 7:]
    (gradient,) = torch.autograd.grad(seen, pixels, upstream)
    for image, (top, left) in enumerate((now.uniform("jitter/crop/7", 2) * 8).long().tolist()):
        window = (image, slice(None), slice(top, top + SIZE - 7), slice(left, left + SIZE - 7))
        assert torch.equal(seen[image], pixels[window])
        expected = torch.zeros(3, SIZE, SIZE)
        expected[window[1:]] = upstream[image]
        assert torch.equal(gradient[image], expected)


def test_padding_is_padding(subject: UnitSubject) -> None:
    now = moment(subject)
    assert torch.equal(Padding(5, "reflect").transform(images(), now), F.pad(images(), [5] * 4, mode="reflect"))
    assert torch.equal(Padding(5, "constant", 0.3).transform(images(), now), F.pad(images(), [5] * 4, value=0.3))
    inside, border = slice(5, 5 + SIZE), slice(0, 5)
    for mode in ("mean", "random"):
        padded = Padding(5, mode).transform(images(), now)
        assert torch.equal(padded[..., inside, inside], images())
        assert padded.shape[-2:] == (SIZE + 10, SIZE + 10)
        corner = padded[..., border, :].flatten(2)
        assert torch.equal(corner.amin(2), corner.amax(2))
        assert torch.equal(corner[..., 0], MEAN[..., 0, 0].expand(FACETS, 3)) == (mode == "mean")
        assert len(corner[..., 0].unique()) == 3  # three channels of the mean, or one grey for each image


def test_a_scale_of_one_changes_nothing_and_two_enlarges_the_middle(subject: UnitSubject) -> None:
    now = moment(subject)
    assert torch.allclose(RandomScale((1.0,)).transform(images(), now), images(), atol=1e-5)
    middle = images()[..., SIZE // 4 : 3 * SIZE // 4, SIZE // 4 : 3 * SIZE // 4]
    expected = F.interpolate(middle, scale_factor=2, mode="bilinear", align_corners=False)
    found = RandomScale((2.0,)).transform(images(), now)
    assert torch.allclose(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-5)


def read_back(regularizer: Regularizer, subject: UnitSubject, steps: int = 6) -> Tensor:
    """Return (steps·n, 2): where a transform's view begins and ends across, as shares of the image."""
    across = ((torch.arange(64) + 0.5) / 64).expand(FACETS, 3, 64, 64)
    made = maximizer(subject, ())
    ends = []
    for step in range(steps):
        row = regularizer.transform(across, made._moment(0, step, step))[:, 0, 32]
        pixel = row[:, 33] - row[:, 32]
        ends.append(torch.stack([row[:, 32] - 32.5 * pixel, row[:, 32] + 31.5 * pixel], 1))
    return torch.cat(ends)


def test_scales_come_from_the_list_or_the_range(subject: UnitSubject) -> None:
    ends = read_back(RandomScale((0.8, 1.25)), subject)
    lengths = (ends[:, 1] - ends[:, 0]).sort().values
    assert {round(float(length), 3) for length in lengths} == {0.8, 1.25}  # the view's share: 1/factor
    lengths = torch.diff(read_back(RandomScale(smallest=0.8, largest=1.25), subject), dim=1)[:, 0]
    assert lengths.min() >= 0.8 - 1e-4
    assert lengths.max() <= 1.25 + 1e-4
    assert len(lengths.unique()) > 10


@pytest.mark.parametrize("spread", [None, 0.1])
def test_crops_lie_within_the_image(subject: UnitSubject, spread: float | None) -> None:
    ends = read_back(RandomCrop(0.3, 0.6, spread), subject)
    assert ends.min() >= -1e-4
    assert ends.max() <= 1 + 1e-4
    lengths = ends[:, 1] - ends[:, 0]
    assert 0.3 - 1e-4 <= lengths.min() < 0.4
    assert 0.5 < lengths.max() <= 0.6 + 1e-4
    assert ends.mean(1).std() > 0.05


def test_the_whole_as_a_crop_changes_nothing(subject: UnitSubject) -> None:
    assert torch.allclose(RandomCrop(1.0, 1.0).transform(images(), moment(subject)), images(), atol=1e-5)


def test_noise_is_normal_and_new_for_each_image_and_step(subject: UnitSubject) -> None:
    pixels = torch.full((FACETS, 3, 64, 64), 0.5)
    noise = torch.cat([GaussianNoise(25.5).transform(pixels, moment(subject, step=step)) - 0.5 for step in range(2)])
    assert noise.mean((1, 2, 3)) == pytest.approx([0] * 2 * FACETS, abs=4 * 0.1 / (3 * 64 * 64) ** 0.5)
    assert noise.std((1, 2, 3)) == pytest.approx([0.1] * 2 * FACETS, rel=0.03)
    correlations = torch.corrcoef(noise.flatten(1)) - torch.eye(2 * FACETS)
    assert correlations.abs().max() < 0.05
    assert torch.equal(GaussianNoise(25.5).transform(pixels, moment(subject)) - 0.5, noise[:FACETS])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jitter(3, "shake"), "mode is 'shake'"),
        (lambda: Jitter(-3), "amount is -3"),
        (lambda: Padding(3, "zero"), "mode is 'zero'"),
        (lambda: RandomScale((1.0, 0.0)), "above 0"),
        (lambda: RandomCrop(0.5, 1.5), "largest is 1.5"),
        (lambda: PatchPrior(every=0), "every is 0"),
    ],
)
def test_a_setting_that_cannot_be_is_named(make, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        make()


# --- the patch prior ------------------------------------------------------------------------------


def brute_force(image: np.ndarray, patches: np.ndarray, size: int, stride: int) -> np.ndarray:
    """Replace each patch of an image (3, h, w) by the nearest of (m, 3·size²), and average the overlaps."""
    total, count = np.zeros_like(image), np.zeros(image.shape[1:])
    for top in range(0, image.shape[1] - size + 1, stride):
        for left in range(0, image.shape[2] - size + 1, stride):
            window = (slice(None), slice(top, top + size), slice(left, left + size))
            distances = ((patches - image[window].reshape(-1)) ** 2).sum(1)
            total[window] += patches[distances.argmin()].reshape(3, size, size)
            count[window[1:]] += 1
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


@pytest.mark.parametrize(("size", "stride"), [(8, 4), (6, 5)])
def test_patches_are_replaced_by_the_nearest(size: int, stride: int) -> None:
    database = PatchDatabase(images(5, 24, seed=3), [torch.arange(5)], size, count=40, components=3 * size**2)
    for patch in database.patches[0][:5]:  # they are windows of the images
        windows = F.unfold(images(5, 24, seed=3), size).transpose(1, 2).reshape(-1, 3 * size**2)
        assert (windows - patch).abs().amax(1).min() == 0
    image = images(1, 20, seed=6)
    found, known = database.explained(image, torch.tensor([0]), stride)
    expected = brute_force(image[0].numpy(), database.patches[0].numpy(), size, stride)
    assert np.array_equal(known[0, 0].numpy(), ~np.isnan(expected[0]))
    inside = ~np.isnan(expected)
    assert np.abs(found[0].numpy()[inside] - expected[inside]).max() < 1e-5


def test_an_image_made_of_the_patches_stays(subject: UnitSubject) -> None:
    prior = PatchPrior(1.0, size=8, stride=8, components=192).bind(subject)
    assert prior.database is not None
    patches = torch.stack([prior.database.patches[k, :16] for k in range(FACETS)])
    made = F.fold(patches.transpose(1, 2), (SIZE, SIZE), 8, stride=8)
    assert torch.allclose(prior.project(made, moment(subject)), made, atol=1e-6)


def test_a_facet_is_pulled_toward_its_own_images() -> None:
    model = TargetModel(Small(), input_size=SIZE, code_layer="last:in", anchor_layer="second")
    levels = torch.tensor([20, 120, 220], dtype=torch.uint8)  # each facet's images are of one grey
    pixels = levels.repeat(2).view(6, 1, 1, 1).expand(6, 3, SIZE, SIZE).contiguous()
    subject = UnitSubject(model, "last", 0, None, pixels, np.arange(6) % 3, np.zeros(6))
    prior = PatchPrior(0.25, count=10).bind(subject)
    pulled = prior.project(torch.full((3, 3, SIZE, SIZE), 0.5), moment(subject))
    expected = 0.75 * 0.5 + 0.25 * levels / 255
    assert torch.allclose(pulled, expected.view(3, 1, 1, 1).expand_as(pulled), atol=1e-5)
    shared = PatchPrior(0.25, count=100, own=False).bind(subject)
    pulled = shared.project(torch.full((3, 3, SIZE, SIZE), 0.5), moment(subject))
    assert torch.allclose(pulled, torch.full_like(pulled, 0.75 * 0.5 + 0.25 * 120 / 255), atol=1e-5)


def test_patches_are_searched_every_so_many_steps(subject: UnitSubject) -> None:
    prior = PatchPrior(0.5, every=3).bind(subject)
    made = maximizer(subject, ())
    first = prior.project(images(), made._moment(0, 0, 0))
    target = 2 * first - images()
    other = images(seed=7)
    assert torch.allclose(prior.project(other, made._moment(0, 1, 1)), (other + target) / 2, atol=1e-6)
    assert not torch.allclose(prior.project(other, made._moment(0, 3, 3)), (other + target) / 2, atol=1e-2)


def test_an_unbound_patch_prior_says_so(subject: UnitSubject) -> None:
    with pytest.raises(MfvError, match="bind"):
        PatchPrior().project(images(), moment(subject))


# --- views, total variation ------------------------------------------------------------------------


def test_a_view_is_the_affine_map_of_its_draws(subject: UnitSubject) -> None:
    now = moment(subject)
    draws = now.uniform("affine", 4)
    angle, scale = torch.deg2rad((2 * draws[:, 0] - 1) * 30), 0.5 + draws[:, 1]
    shift = (2 * draws[:, 2:] - 1) * 0.2
    rows = [
        [angle.cos() * scale, -angle.sin() * scale, shift[:, 0]],
        [angle.sin() * scale, angle.cos() * scale, shift[:, 1]],
    ]
    matrix = torch.stack([torch.stack(row, 1) for row in rows], 1)
    grid = F.affine_grid(matrix, [FACETS, 3, SIZE, SIZE], align_corners=False)
    expected = F.grid_sample(images(), grid, padding_mode="reflection", align_corners=False)
    assert torch.allclose(RandomAffine(30, 0.5, 1.5, 0.2).transform(images(), now), expected, atol=1e-5)


@pytest.mark.parametrize(("smallest", "largest", "bound"), [(1.0, 1.0, 0.02), (0.8, 1.0, 0.05)])
def test_a_views_gradient_is_the_transpose_of_reading_it(
    subject: UnitSubject, smallest: float, largest: float, bound: float
) -> None:
    view = RandomAffine(10, smallest, largest, 0.05, exact=False)
    quiet = F.pad(images(size=20), (6, 6, 6, 6)).requires_grad_(True)  # nothing lies beyond the border
    for key in range(5):
        direction = F.interpolate(images(size=8, seed=key) - 0.5, (SIZE, SIZE), mode="bilinear")
        shown = view.transform(quiet, moment(subject, step=key))
        (gradient,) = torch.autograd.grad(shown, quiet, direction)
        forward, backward = (shown * direction).sum((1, 2, 3)), (quiet * gradient).sum((1, 2, 3))
        size = shown.square().sum((1, 2, 3)).sqrt() * direction.square().sum((1, 2, 3)).sqrt()
        assert ((forward - backward).abs() <= bound * size).all()


def test_a_shifted_views_gradient_is_exact_within_the_picture(subject: UnitSubject) -> None:
    pixels, direction = images().requires_grad_(True), F.pad(images(size=20, seed=5), (6, 6, 6, 6))
    now = moment(subject)
    grid_shift = (2 * now.uniform("affine", 4)[:, 2:] - 1) * 0.2
    (gradient,) = torch.autograd.grad(RandomAffine(0, 1, 1, 0.2, exact=False).transform(pixels, now), pixels, direction)
    one = torch.eye(2).expand(FACETS, 2, 2)
    grid = F.affine_grid(torch.cat([one, grid_shift[:, :, None]], 2), [FACETS, 3, SIZE, SIZE], align_corners=False)
    shown = F.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    (expected,) = torch.autograd.grad(shown, pixels, direction)
    assert torch.allclose(gradient, expected, atol=1e-5)


def test_a_view_by_columns_is_the_same_to_the_bit() -> None:
    draws = torch.rand(FACETS, 4, dtype=torch.double, generator=torch.Generator().manual_seed(3))
    turn, shift = torch.polar(0.6 + 0.7 * draws[:, 0], draws[:, 1] - 0.5), torch.view_as_complex(0.1 * draws[:, 2:])
    oblong = torch.cat([images(), images(seed=1)], 3)
    for padding in ("reflection", "zeros"):
        found = [view(oblong, turn, shift, padding, by_columns) for by_columns in (False, True)]
        assert torch.equal(*found)
        assert found[1].shape == oblong.shape


def slow_total_variation(image: np.ndarray, weight: float, sweeps: int) -> np.ndarray:
    """Return the proximal map of vectorial total variation of an image (3, h, w), pixel by pixel (Chambolle 2004)."""
    _, height, width = image.shape
    down, right = np.zeros_like(image), np.zeros_like(image)

    def primal() -> np.ndarray:
        result = image.copy()
        for y, x in product(range(height), range(width)):
            if y + 1 < height:
                result[:, y, x] += down[:, y, x]
                result[:, y + 1, x] -= down[:, y, x]
            if x + 1 < width:
                result[:, y, x] += right[:, y, x]
                result[:, y, x + 1] -= right[:, y, x]
        return result

    for _ in range(sweeps):
        u = primal()
        for y, x in product(range(height), range(width)):
            if y + 1 < height:
                down[:, y, x] += 0.25 * (u[:, y + 1, x] - u[:, y, x])
            if x + 1 < width:
                right[:, y, x] += 0.25 * (u[:, y, x + 1] - u[:, y, x])
            length = np.sqrt((down[:, y, x] ** 2 + right[:, y, x] ** 2).sum())
            shrink = max(1.0, length / weight)
            down[:, y, x] /= shrink
            right[:, y, x] /= shrink
    return primal()


def test_total_variation_is_that_of_a_slow_twin_and_goes_on_where_it_was(subject: UnitSubject) -> None:
    grey_levels = 20.0
    now = moment(subject)
    smooth = [TVProx(grey_levels, sweeps=2).project(images(), now) for _ in range(3)][-1]  # the duals are kept
    for image in range(2):
        expected = slow_total_variation(images()[image].double().numpy(), grey_levels / 255, 6)
        assert np.abs(smooth[image].numpy() - expected).max() < 1e-5


def test_total_variation_every_second_step_has_the_weight_of_two(subject: UnitSubject) -> None:
    tv, twice = TVProx(10.0, sweeps=2, every=2), TVProx(20.0, sweeps=2)
    even, odd = moment(subject), moment(subject, step=1)
    assert torch.equal(tv.project(images(), even), twice.project(images(), moment(subject)))
    assert tv.project(images(), odd).equal(images())
    with pytest.raises(MfvError, match="every is 0"):
        TVProx(every=0)


def test_what_is_rougher_than_its_facets_photographs_is_smoothed_more(subject: UnitSubject) -> None:
    pixels = images()
    rough = variation(pixels)
    for image, found in zip(pixels.double().numpy(), rough.tolist(), strict=True):
        lines = range(0, SIZE - 1, 4)
        across = np.mean([np.abs(np.diff(image[:, y])).mean() for y in lines])
        assert found == pytest.approx(across + np.mean([np.abs(image[:, y + 1] - image[:, y]).mean() for y in lines]))
    photographs = subject.pixels.float() / 255
    for photograph, facet in zip(photographs, subject.assignment().tolist(), strict=True):
        photograph.mul_(0.1 if facet == 0 else 0.75)  # those of facet 0 are nearly plain
    plain = copy.copy(subject)
    plain.pixels = (photographs * 255).byte()
    bound = TVProx(20.0, most=2.5).bind(plain)
    ratios = rough / 1.4 / bound.natural
    assert ratios[0] > 2.5**0.5
    assert ratios[1] < 1
    smooth = bound.project(pixels, moment(subject))
    for row, weight in enumerate([50.0, 20.0]):
        alone = TVProx(weight).project(pixels, moment(subject))[row]
        assert torch.allclose(smooth[row], alone, atol=1e-6)
    bound = TVProx(20.0, most=100.0).bind(plain)
    between = TVProx(20.0 * float(ratios[0]) ** 2).project(pixels, moment(subject))[0]
    assert torch.allclose(bound.project(pixels, moment(subject))[0], between, atol=1e-6)
    allowed = TVProx(20.0, most=100.0, rougher=1.4 * float(ratios[0])).bind(plain)  # as rough as it may be, no more
    assert torch.allclose(allowed.project(pixels, moment(subject)), TVProx(20.0).project(pixels, moment(subject)))
    assert TVProx(20.0).bind(plain).natural is None  # nothing is measured where it is not asked for
    with pytest.raises(MfvError, match=r"recipe\.bind\(subject\)"):
        TVProx(most=2.0).project(pixels, moment(subject))


def test_total_variation_at_convergence_is_the_minimum(subject: UnitSubject) -> None:
    weight, pixels = 0.1, images(1)

    def energy(image: Tensor) -> float:
        down = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
        right = F.pad(image[..., 1:] - image[..., :-1], (0, 1))
        edges = (down.square() + right.square()).sum(1).sqrt().sum()
        return float(0.5 * (image - pixels).square().sum() + weight * edges)

    smooth = TVProx(weight * 255, sweeps=2000).project(pixels, moment(subject, [0]))
    least = energy(smooth)
    generator = torch.Generator().manual_seed(0)
    for size in (1e-1, 1e-2, 1e-3):
        for _ in range(20):
            assert energy(smooth + size * torch.randn(smooth.shape, generator=generator)) > least
    assert energy(smooth.mean((2, 3), keepdim=True).expand_as(smooth)) > least


# --- tone, chroma, start ------------------------------------------------------------------------


class Draws:
    """A moment whose uniform numbers are given."""

    def __init__(self, *numbers: float):
        self.numbers = torch.tensor([numbers])

    def uniform(self, key: str, count: int) -> Tensor:
        assert self.numbers.shape[1] == count
        return self.numbers


def test_tone_is_a_gain_about_mid_grey_and_a_shift() -> None:
    pixels = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    shown = RandomTone(contrast=0.4, brightness=0.1).transform(pixels, Draws(1.0, 0.0))  # type: ignore[arg-type]
    assert torch.allclose(shown, 1.4 * (pixels - 0.5) + 0.5 - 0.1)
    assert torch.allclose(RandomTone().transform(pixels, Draws(0.5, 0.5)), pixels)  # type: ignore[arg-type]


def test_chroma_scales_the_differences_between_channels_and_keeps_their_mean() -> None:
    gradient = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    filtered = SpectralGradient(0.0, chroma=0.25).gradient(gradient, Draws())  # type: ignore[arg-type]
    assert torch.allclose(filtered.mean(1), gradient.mean(1), atol=1e-6)
    assert torch.allclose(filtered[:, 0] - filtered[:, 2], 0.25 * (gradient[:, 0] - gradient[:, 2]), atol=1e-6)


def test_chroma_blurs_colour_and_keeps_light() -> None:
    speckle = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    filtered = SpectralGradient(0.0, blur=1.5).gradient(speckle, Draws())  # type: ignore[arg-type]
    assert torch.allclose(filtered.mean(1), speckle.mean(1), atol=1e-6)
    assert (filtered - filtered.mean(1, keepdim=True)).std() < 0.25 * (speckle - speckle.mean(1, keepdim=True)).std()
    for channel in range(3):
        color = (speckle[0, channel] - speckle[0].mean(0)).numpy()
        expected = gaussian_filter(color, 1.5, mode="wrap")
        assert np.abs((filtered[0, channel] - speckle[0].mean(0)).numpy() - expected).max() < 1e-3
    tint = torch.tensor([1.0, 0.0, -1.0])[None, :, None, None].expand(1, 3, 32, 32)  # flat colour: nothing to smooth
    assert torch.allclose(SpectralGradient(0.0, blur=1.5).gradient(tint, Draws()), tint, atol=1e-6)  # type: ignore[arg-type]
    with pytest.raises(MfvError, match="blur"):
        SpectralGradient(blur=-1)


def test_a_start_at_natural_contrast_has_the_photographs_contrast_and_its_own_colours() -> None:
    source, preprocess = PhotoCrops(), Preprocess(224, 224)
    photographs = (torch.stack([preprocess(source.load(row)) for row in range(0, 60, 6)]) * 255).byte()
    pale = photographs.float().mean(0) / 255
    start = at_natural_contrast(pale, photographs)
    natural = (photographs.float() / 255).mean(1).flatten(1).std(1).mean()
    assert pale.mean(0).std() < 0.9 * natural
    assert start.mean(0).std() == pytest.approx(float(natural), rel=0.05)
    inside = ((start > 0) & (start < 1)).all(0)
    assert torch.allclose((start[0] - start[2])[inside], (pale[0] - pale[2])[inside], atol=1e-5)
    flat = torch.full((3, 8, 8), 0.3)
    assert torch.equal(at_natural_contrast(flat, photographs), flat)
