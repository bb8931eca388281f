"""Split Bregman against scikit-image's own, on ten photographs, and against a slow twin."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_bregman
from torch import Tensor

from mfv.data import PhotoCrops, to_tensor
from mfv.errors import MfvError
from mfv.regularizers import tv_bregman_solver
from mfv.regularizers.tv_bregman_solver import split_bregman

WEIGHTS = (0.001, 0.01, 0.05, 0.1, 0.4, 0.8, 2.0)  # the paper's, for grey levels 0–255
EPS = 1e-3 / 255  # the paper's, for pixels in [0, 1]


def crops(size: int) -> Tensor:
    source = PhotoCrops()
    rows = np.linspace(0, len(source) - 1, 10).astype(int)
    return torch.stack([to_tensor(source.load(int(row)), size, size) for row in rows])


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return crops(227)


@pytest.fixture(scope="module")
def small() -> Tensor:
    return crops(48)


def scikit_image(
    image: Tensor, weight: float, iterations: int, eps: float, isotropic: bool = True, channel_axis: int | None = None
) -> Tensor:
    """Return what scikit-image makes of an image (c, h, w).

    Without a `channel_axis` it smooths each channel for itself too, and like ours it stops them together and
    starts each from nothing. With one, it starts each channel from the last one's result.
    """
    pixels = image.double().permute(1, 2, 0).numpy()
    denoised = denoise_tv_bregman(pixels, weight, iterations, eps, isotropic, channel_axis=channel_axis)
    return torch.from_numpy(denoised).reshape(pixels.shape).permute(2, 0, 1)


def slow_twin(image: Tensor, weight: float, iterations: int, eps: float) -> tuple[np.ndarray, int]:
    """Return the same by plain loops over the pixels of an image (h, w), and the iterations that were done."""
    data = image.double().numpy()
    height, width = data.shape
    u = np.pad(data, 1)
    u[0, 1:-1], u[-1, 1:-1], u[1:-1, 0], u[1:-1, -1] = data[1], data[-1], data[:, 1], data[:, -1]
    b, d, strength = np.zeros((2, *u.shape)), np.zeros((2, *u.shape)), 2 * weight
    inside = [(r, c) for r in range(1, height + 1) for c in range(1, width + 1)]
    done, change = 0, np.inf
    while done < iterations and change > eps:
        done += 1
        for r, c in inside:
            t = np.array([u[r, c + 1], u[r + 1, c]]) - u[r, c] + b[:, r, c]
            s = np.hypot(*t) * strength
            d[:, r, c] = s * t / (s + 1)
            b[:, r, c] = t - d[:, r, c]
        before, v = u.copy(), d - b
        for colour in (0, 1):
            for r, c in inside:
                if (r + c) % 2 == colour:
                    neighbours = u[r - 1, c] + u[r + 1, c] + u[r, c - 1] + u[r, c + 1]
                    divergence = v[0, r, c - 1] - v[0, r, c] + v[1, r - 1, c] - v[1, r, c]
                    known = strength * (neighbours + divergence) + weight * data[r - 1, c - 1]
                    u[r, c] = known / (weight + 4 * strength)
        change = np.sqrt(((u - before)[1:-1, 1:-1] ** 2).mean())
    return u[1:-1, 1:-1], done


def test_after_200_iterations_it_is_scikit_images(photos: Tensor) -> None:
    """For every weight of the paper, each photo with one of them, iteration for iteration."""
    weights = [255 * WEIGHTS[number % len(WEIGHTS)] for number in range(len(photos))]
    ours = split_bregman(photos, torch.tensor(weights), 200, eps=0)
    for image, photo, weight in zip(ours, photos, weights, strict=True):
        difference = (image - scikit_image(photo, weight, 200, 0)).abs().max().item()
        print(f"weight {weight / 255:g}: largest difference {difference:.1e}")
        assert difference <= 1e-4
        assert (image - photo).abs().mean() > 1e-3


@pytest.mark.parametrize(("weight", "iterations"), [(0.001, 1600), (0.05, 300), (2.0, 300)])
def test_at_convergence_it_is_scikit_images_with_a_channel_axis_too(
    photos: Tensor, weight: float, iterations: int
) -> None:
    ours = split_bregman(photos[5:6], 255 * weight, iterations, 0)[0]
    theirs = scikit_image(photos[5], 255 * weight, iterations, 0, channel_axis=-1)
    assert (ours - theirs).abs().max() <= 1e-4


def test_with_the_papers_settings_it_stays_within_a_grey_level(photos: Tensor) -> None:
    """At most 100 iterations and the paper's tolerance end short of convergence, and each order elsewhere."""
    for photo, weight in zip(photos, WEIGHTS, strict=False):
        ours = split_bregman(photo[None], 255 * weight, 100, EPS)[0]
        difference = ours - scikit_image(photo, 255 * weight, 100, EPS)
        assert difference.square().mean().sqrt() <= 2e-4
        assert difference.abs().max() <= 1 / 255


def test_after_100_iterations_it_is_nearer_the_end_than_scikit_images(small: Tensor) -> None:
    for weight in (0.1, 0.4, 2.0):
        end = split_bregman(small[:1].double(), 255 * weight, 2000, 1e-12)[0]
        ours = (split_bregman(small[:1], 255 * weight, 100, 0)[0] - end).abs().max()
        assert ours <= (scikit_image(small[0], 255 * weight, 100, 0) - end).abs().max()
        assert ours <= 2e-5


@pytest.mark.parametrize("weight", [0.1, 2.5, 100.0])
def test_it_is_its_slow_twin(small: Tensor, weight: float) -> None:
    patch = small[0, 0, 10:19, 5:13]
    for iterations, eps in ((1, 0.0), (7, 0.0), (300, 1e-5)):
        expected, done = slow_twin(patch, weight, iterations, eps)
        found = split_bregman(patch[None, None].double(), weight, iterations, eps)[0, 0]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-12)
        assert done < 300


def test_the_anisotropic_kind_is_scikit_images_too(small: Tensor) -> None:
    for weight in (5.0, 100.0):
        ours = split_bregman(small[:1], weight, 1500, 0, isotropic=False)[0]
        assert (ours - scikit_image(small[0], weight, 1500, 0, isotropic=False)).abs().max() <= 1e-4
        assert (ours - split_bregman(small[:1], weight, 1500, 0)[0]).abs().max() > 1e-3


@pytest.mark.parametrize("shape", [(2, 2), (2, 9), (9, 2), (3, 4), (16, 5)])
def test_the_borders_are_scikit_images(small: Tensor, shape: tuple[int, int]) -> None:
    patch = small[3, :, 7 : 7 + shape[0], 20 : 20 + shape[1]]
    found = split_bregman(patch[None].double(), 3.0, 2000, 0)[0]
    assert (found - scikit_image(patch, 3.0, 2000, 0)).abs().max() <= 1e-8


def test_a_batch_of_ten_equals_ten_alone(small: Tensor) -> None:
    weights = 255 * torch.logspace(-3, 0.3, 10)
    together = split_bregman(small, weights, eps=EPS)
    pairs = zip(small, weights.tolist(), strict=True)
    alone = torch.cat([split_bregman(photo[None], weight, eps=EPS) for photo, weight in pairs])
    assert torch.equal(together, alone)


def test_images_stop_one_by_one_within_a_block(small: Tensor) -> None:
    """On a GPU all images advance together; one that has stopped must wait unchanged for the others."""
    strengths = 2 * 255 * torch.logspace(-3, 0.3, 10).view(-1, 1, 1, 1)
    together = tv_bregman_solver._solve(small, strengths, 100, EPS, True)
    each = zip(small.split(1), strengths.split(1), strict=True)
    alone = torch.cat([tv_bregman_solver._solve(photo, strength, 100, EPS, True) for photo, strength in each])
    assert torch.allclose(together, alone, atol=1e-6)
    assert not torch.allclose(alone, split_bregman(small, strengths.view(-1) / 2, eps=0), atol=1e-5)


def test_the_host_may_ask_seldom_whether_all_have_stopped(small: Tensor, monkeypatch) -> None:
    expected = split_bregman(small, 100.0, eps=EPS)
    real = torch.Tensor.any
    monkeypatch.setattr(torch.Tensor, "any", lambda *_: torch.tensor(True))  # it never learns of it
    unstopped = split_bregman(small, 100.0, eps=EPS)
    monkeypatch.setattr(torch.Tensor, "any", real)
    assert torch.equal(unstopped, expected)


def test_a_broken_image_leaves_the_others_alone(small: Tensor) -> None:
    broken = small.clone()
    broken[2, 0, 5, 5] = torch.nan
    found, expected = split_bregman(broken, 20.0), split_bregman(small, 20.0)
    others = [number for number in range(10) if number != 2]
    assert torch.equal(found[others], expected[others])
    assert found[2].isnan().any()


def test_grey_levels_and_shares_give_the_same(small: Tensor) -> None:
    for weight in WEIGHTS:
        shares = split_bregman(small.double(), weight * 255, eps=EPS)
        levels = split_bregman(small.double() * 255, weight, eps=1e-3) / 255
        assert torch.allclose(shares, levels, atol=1e-9)


def test_a_smaller_weight_smooths_more(small: Tensor) -> None:
    def variation(images: Tensor) -> float:
        return images.diff(dim=-1).abs().mean().item() + images.diff(dim=-2).abs().mean().item()

    strengths = [variation(split_bregman(small, weight * 255)) for weight in WEIGHTS]
    assert strengths == sorted(strengths)
    assert strengths[-1] < variation(small)


def test_a_flat_image_stays(small: Tensor) -> None:
    flat = torch.full((1, 3, 20, 30), 0.3)
    assert torch.allclose(split_bregman(flat, 0.5), flat, atol=1e-6)


def test_types_and_layouts(small: Tensor) -> None:
    expected = split_bregman(small, 20.0)
    for images in (small.to(memory_format=torch.channels_last), small.transpose(2, 3).contiguous().transpose(2, 3)):
        before = images.clone()
        assert torch.allclose(split_bregman(images, 20.0), expected, atol=1e-6)
        assert torch.equal(images, before)
    for dtype in (torch.float64, torch.float16, torch.bfloat16):
        found = split_bregman(small.to(dtype), 20.0)
        assert found.dtype == dtype
        assert torch.allclose(found.float(), expected, atol=1e-2)
    assert split_bregman(small[:0], 20.0).shape == (0, 3, 48, 48)
    grey = split_bregman(small[:, :1], 20.0, 300, 0)
    assert torch.allclose(grey, split_bregman(small, 20.0, 300, 0)[:, :1], atol=1e-4)
    assert not split_bregman(small.clone().requires_grad_(), 20.0).requires_grad


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_that_cannot_be_is_named(small: Tensor, weight: float) -> None:
    with pytest.raises(MfvError, match="weight is"):
        split_bregman(small, weight)


def test_shapes_and_iterations_that_cannot_be_are_named(small: Tensor) -> None:
    for images in (small[0], small[..., :1], small.to(torch.uint8)):
        with pytest.raises(MfvError, match="takes floating-point images"):
            split_bregman(images, 1.0)
    with pytest.raises(MfvError, match=r"weight has shape \(3,\) for 10 images"):
        split_bregman(small, torch.ones(3))
    with pytest.raises(MfvError, match="iterations is 0"):
        split_bregman(small, 1.0, iterations=0)
