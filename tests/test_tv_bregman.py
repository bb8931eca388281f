"""Split Bregman against scikit-image's own, on ten photographs."""

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_tv_bregman
from torch import Tensor

from mfv.data import PhotoCrops, to_tensor
from mfv.errors import MfvError
from mfv.regularizers.tv_bregman_solver import split_bregman

SIZE = 64  # pixels: scikit-image takes a second for ten of them


@pytest.fixture(scope="module")
def photos() -> Tensor:
    source = PhotoCrops()
    rows = np.linspace(0, len(source) - 1, 10).astype(int)
    return torch.stack([to_tensor(source.load(int(row)), SIZE, SIZE) for row in rows])


def reference(photos: Tensor, weight: float, iterations: int, eps: float) -> Tensor:
    """Return what scikit-image makes of the photos; it takes weight·255 on [0, 1] data."""
    return torch.stack(
        [
            torch.from_numpy(
                denoise_tv_bregman(
                    photo.double().permute(1, 2, 0).numpy(),
                    weight * 255,
                    max_num_iter=iterations,
                    eps=eps,
                    isotropic=True,
                    channel_axis=-1,
                )
            ).permute(2, 0, 1)
            for photo in photos
        ]
    ).float()


# Short of convergence the two orders of sweeping differ: after 100 iterations by up to 2.3e-4 (weight 2).
@pytest.mark.parametrize(
    ("weight", "iterations"), [(0.001, 4000), (0.01, 4000), (0.05, 400), (0.1, 400), (0.4, 400), (2.0, 400)]
)
def test_it_converges_to_scikit_images(photos: Tensor, weight: float, iterations: int) -> None:
    some = photos[:3] if iterations > 1000 else photos
    ours = split_bregman(some, weight * 255, iterations=iterations, eps=0.0)
    difference = (ours - reference(some, weight, 2 * iterations, 1e-12)).abs().max().item()
    print(f"weight {weight}, at convergence: max difference from scikit-image {difference:.1e}")
    assert difference <= 1e-4
    assert (ours - some).abs().mean() > 1e-3


def test_a_batch_of_ten_equals_ten_alone(photos: Tensor) -> None:
    together = split_bregman(photos, 0.1 * 255, eps=1e-3 / 255)
    alone = torch.cat([split_bregman(photo[None], 0.1 * 255, eps=1e-3 / 255) for photo in photos])
    assert torch.equal(together, alone)


def test_grey_levels_and_shares_give_the_same(photos: Tensor) -> None:
    shares = split_bregman(photos, 0.4 * 255, eps=1e-3 / 255)
    levels = split_bregman(photos * 255, 0.4, eps=1e-3) / 255
    assert torch.allclose(shares, levels, atol=1e-5)


def test_a_smaller_weight_smooths_more(photos: Tensor) -> None:
    def variation(images: Tensor) -> float:
        return images.diff(dim=-1).abs().mean().item() + images.diff(dim=-2).abs().mean().item()

    strengths = [variation(split_bregman(photos, weight * 255)) for weight in (0.01, 0.1, 0.4, 2.0)]
    assert strengths == sorted(strengths)
    assert strengths[-1] < variation(photos)


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_a_weight_that_cannot_be_is_named(photos: Tensor, weight: float) -> None:
    with pytest.raises(MfvError, match="weight is"):
        split_bregman(photos, weight)
