"""Numbers at their edges: one facet, one image, equal codes, ties, silent channels, seeds below zero."""

import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import network, visualize
from torch import Tensor, nn

import mfv
from mfv.activations.contributions import contributions
from mfv.activations.receptive_field import receptive_field
from mfv.claims import claim_inputs, described
from mfv.discovery import KMeans, PCAKMeans, TSNEKMeans, exemplars, facet_members
from mfv.discovery.automatic import facet_count
from mfv.discovery.refinement import Refinement, merged_alike, without_specks
from mfv.discovery.selection import Selection
from mfv.errors import MfvError
from mfv.evaluation.controls import noise, shuffled_means
from mfv.evaluation.diversity import less_seed_spread
from mfv.evaluation.fidelity import CodeSpace, typicality
from mfv.evaluation.numbers import code_distances, measure
from mfv.models.layers import describe_layers
from mfv.models.target import TargetModel
from mfv.objectives import Objective
from mfv.objectives.probe import train_probe
from mfv.regularizers import Regularizer, TVBregman
from mfv.rendering import Octave, Recipe
from mfv.schedules import Released
from mfv.unit_images import check_clustering, clusters_of, number_of_facets


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# discovery


def test_auto_finds_no_more_facets_than_there_are_different_images() -> None:
    codes = np.repeat(np.abs(rng().normal(size=(2, 64))).astype(np.float32), 60, 0)
    assert facet_count(codes) <= 2
    assert len(clusters_of(codes, "auto", TSNEKMeans(), Refinement(), 0).assignment) == 120


def test_auto_counts_lengths_where_the_method_does() -> None:
    direction = np.abs(rng().normal(size=64))
    spread = [(length + 0.02 * rng(length).normal(size=(60, 1))) * direction for length in (1, 3, 6)]
    codes = (np.concatenate(spread) + 0.01 * rng(9).normal(size=(180, 64))).astype(np.float32)
    assert number_of_facets("auto", codes, 0, unit_length=True) == 1
    assert number_of_facets("auto", codes, 0, unit_length=False) == 3


def test_codes_that_differ_in_length_alone_are_not_told_apart_by_rounding() -> None:
    codes = (np.linspace(1, 2, 60)[:, None] * np.abs(rng().normal(size=64))).astype(np.float32)
    assert facet_count(codes) == 1
    for method in (TSNEKMeans, PCAKMeans, KMeans):
        with pytest.raises(MfvError, match=r"differ in their length alone: let it count"):
            method()(codes, 3, 0)
    assert len(np.unique(KMeans(unit_length=False, map="pca")(codes, 3, 0).assignment)) == 3


@pytest.mark.parametrize("method", [PCAKMeans(spherical=True, map="pca"), KMeans(spherical=True, unit_length=False)])
def test_spherical_exemplars_are_the_nearest_by_cosine(method: PCAKMeans | KMeans) -> None:
    codes = rng().normal(size=(200, 20)).astype(np.float32)
    found = method(codes, 3, 0)
    points = codes
    if isinstance(method, PCAKMeans):  # principal components of directions
        points = codes / np.linalg.norm(codes, axis=1, keepdims=True)
        points = points - points.mean(0)
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    members = facet_members(found)[0]
    center = directions[members].mean(0)
    assert set(exemplars(members, 15)) == set(members[np.argsort(-(directions[members] @ center))[:15]])


def test_what_is_at_a_refinements_limit_is_within() -> None:
    points = rng().normal(size=(100, 4))
    assert without_specks(np.repeat([0, 1], [93, 7]), points, 0.07)[1] == 0
    for seed in range(5):
        vectors = rng(seed).normal(size=(20, 8)).astype(np.float64)
        points = np.concatenate([vectors, vectors[::-1], -3 * vectors])
        assert merged_alike(np.repeat([0, 1, 2], 20), points, 1.0)[1] == 1
    codes = rng().normal(size=(60, 5)).astype(np.float32)
    assert "inertia" not in Refinement(merge=-1.0)(KMeans(map="pca")(codes, 3, 0), codes).details


def test_a_class_is_large_enough_to_count_facets_in() -> None:
    names = ["cat"] * 2 + ["dog"] * 98
    chosen = Selection()(np.arange(100.0), names, ["cat"], 10)
    assert len(chosen) > 2


def test_distances_that_are_no_numbers_are_named() -> None:
    found = KMeans(map="pca")(rng().normal(size=(20, 4)).astype(np.float32), 2, 0)
    check_clustering(found, 20)
    object.__setattr__(found, "distances", np.full(20, np.nan))
    with pytest.raises(MfvError, match=r"distances are .* not all finite"):
        check_clustering(found, 20)


# contributions and fields


class Tokens(nn.Module):
    """Patches, a mixing of all of them, and a linear layer on each."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.mix, self.fc = nn.Conv2d(3, 6, 8, 8), nn.Linear(16, 16), nn.Linear(6, 4)

    def forward(self, pixels: Tensor) -> Tensor:
        tokens = self.patches(pixels).flatten(2)
        return self.fc((tokens + self.mix(tokens)).transpose(1, 2)).mean(1)


@pytest.mark.parametrize("position", [None, "max", "mean"])
def test_contributions_of_tokens_sum_up_to_the_value(position: str | None) -> None:
    model = TargetModel(Tokens(), input_size=32)
    windows = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = contributions(model, "fc", 2, position, windows)
    value = measure(model, "fc", 2, position, windows.float() / 255, False)["value"]
    bias = float(model.network.get_submodule("fc").bias[2])  # type: ignore[index]
    np.testing.assert_allclose(found.sum(1), value - bias, atol=1e-5)


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ([nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(4, 4, 3, padding=1),
          nn.ReLU(), nn.MaxPool2d(3, 2, 1)], (13, 4, -6)),
        ([nn.MaxPool2d(7, 1, 3)], (7, 1, -3)),
        ([nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(3, 1, 1, dilation=2)], (7, 1, -2)),
    ],
)  # fmt: skip
def test_max_pools_count_with_all_of_their_window(layers: list[nn.Module], expected: tuple[int, int, int]) -> None:
    network = nn.Sequential(nn.Sequential(*layers), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(4))
    network(torch.zeros(1, 3, 64, 64))
    field = receptive_field(TargetModel(network, input_size=64), "0")
    assert (field.size, field.stride, field.start) == expected


# evaluation


def test_a_seed_below_zero_is_one() -> None:
    assert noise(1, 8, -1).shape == (1, 3, 8, 8)
    photographs = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    assert shuffled_means(photographs, [2, 2], [2, 2], -1, 1).shape[0] == 2


def test_typicality_is_by_the_median_and_none_without_one() -> None:
    space = CodeSpace(torch.zeros(2), torch.tensor([[1.0, 0.0]]))
    code = torch.tensor([[0.5, 0.75**0.5]])
    facets = torch.zeros(1, dtype=torch.int64)
    assert typicality(space, code, facets, torch.tensor([0.2, 0.8])) == pytest.approx(1.0, rel=1e-5)
    assert typicality(space, code, facets, torch.tensor([-0.1, -0.05, 0.3])) is None


def test_equal_codes_have_no_direction() -> None:
    codes = torch.rand(1, 64, generator=torch.Generator().manual_seed(1)).expand(30, 64)
    space = CodeSpace.of(codes, np.repeat([0, 1], 15))
    assert space.own_cosines(codes, torch.tensor([0, 1]).repeat_interleave(15)).abs().max() < 0.5


def test_equal_units_all_lead() -> None:
    leading = network()
    with torch.no_grad():
        leading[5].weight.zero_()
        leading[5].bias.fill_(1.0)
    model = TargetModel(leading, input_size=32)
    for unit in range(3):
        assert measure(model, "5", unit, None, torch.rand(2, 3, 32, 32), False)["is_argmax"].all()


def test_the_spread_over_seeds_needs_two_facets() -> None:
    with pytest.raises(MfvError, match="a single facet differs from no other"):
        less_seed_spread(None, None, [torch.rand(1, 3, 8, 8)] * 2)  # type: ignore[arg-type]


# objectives, schedules, regularizers


@pytest.mark.parametrize("members", [torch.ones(1, dtype=torch.bool), torch.zeros(5, dtype=torch.bool)])
def test_a_probe_of_all_or_none_is_zero(members: Tensor) -> None:
    assert not train_probe(torch.rand(len(members), 8), members).any()


def test_a_single_iteration_of_the_released_schedule_is_its_first() -> None:
    assert Released(0.4, 0.4).at(0, 1) == 0.4
    recipe = Recipe((Octave(1, regularizers=(TVBregman(weight=Released(0.4, 0.4)),)),))
    assert visualize(recipe=recipe, facets=1).images.isfinite().all()


def test_split_bregman_leaves_a_single_row() -> None:
    pixels = torch.rand(2, 3, 1, 5)
    assert TVBregman().project(pixels, None) is pixels  # type: ignore[arg-type]


class ToNaN(Regularizer):
    """From its second step on images are no numbers."""

    def project(self, pixels: Tensor, moment: Any) -> Tensor:
        return pixels * (float("nan") if moment.iteration else 1.0)


class Shrinks(Regularizer):
    """Loses a row."""

    def project(self, pixels: Tensor, moment: Any) -> Tensor:
        return pixels[:, :, 1:]


def test_functions_with_other_arguments_are_described_otherwise() -> None:
    given = [described(partial(np.quantile, q=q)) for q in (0.5, 0.5, 0.9)]
    assert given[0] == given[1] != given[2]


class OneNumber(Objective):
    """Forgets that there are several images."""

    layers = ("2",)

    def bind(self, subject: Any) -> Objective:
        return self

    def forward(self, activations: Any, facets: Tensor, progress: float) -> Tensor:
        return activations["2"].mean()


@pytest.mark.parametrize(
    ("octave", "said"),
    [
        (Octave(4, regularizers=(ToNaN(),)), r"the images of facets 0, 1 are NaN or infinite"),
        (Octave(2, regularizers=(Shrinks(),)), r"Shrinks\.project returns \(2, 3, \d+, \d+\) for .*keep the shape"),
        (
            Octave(2, objective=OneNumber()),
            r"the objective gives \(\) for 2 images: a value for each, \(n,\)",
        ),
    ],
)
def test_what_ones_own_parts_do_wrong_is_named_and_nothing_of_it_is_kept(
    octave: Octave, said: str, tmp_path: Path
) -> None:
    with pytest.raises(MfvError, match=said):
        visualize(recipe=Recipe((octave,)), directory=tmp_path / "run")
    assert not list((tmp_path / "run").glob("render.*"))


# networks


class Windows(nn.Module):
    """Looks at the four quarters of an image as if they were images, like attention in windows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.part, self.head = nn.Conv2d(3, 4, 8, 8), nn.Linear(4, 3)

    def forward(self, pixels: Tensor) -> Tensor:
        n, _, height, width = pixels.shape
        quarters = pixels.unfold(2, height // 2, height // 2).unfold(3, width // 2, width // 2)
        parts = self.part(quarters.permute(0, 2, 3, 1, 4, 5).reshape(4 * n, 3, height // 2, width // 2))
        return self.head(parts.mean((2, 3)).view(n, 4, 4).mean(1))


def test_a_layer_that_gives_several_rows_an_image_is_refused() -> None:
    with pytest.raises(MfvError, match=r"layer 'part' of windows gives \(\d+, 4, 2, 2\) for \d+ images"):
        visualize(network=Windows(), layer="part")
    assert TargetModel(Windows(), input_size=32).anchor_layer == "head"


def test_layers_of_a_network_that_takes_no_photographs_are_not_listed() -> None:
    model = TargetModel(nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), input_size=32)
    with pytest.raises(MfvError, match=r"cannot be run on an image of 3 × 32 × 32: .*channels"):
        describe_layers(model)


def test_results_of_another_network_are_not_gone_on_with(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = mfv.data.PhotoCrops(scales=[1.0], photos=["coffee", "cat"])
    fewer = mfv.data.PhotoCrops(scales=[1.0], photos=["coffee"])
    one, other = (TargetModel(network(), input_size=32) for _ in range(2))
    next(other.network.parameters()).data.mul_(2)
    claim_inputs(tmp_path, one, source)
    claim_inputs(tmp_path, other, source)  # nothing came of it yet
    (tmp_path / "facets.json").write_text("{}")
    claim_inputs(tmp_path, other, source)
    with pytest.raises(MfvError, match="holds results of another network"):
        claim_inputs(tmp_path, one, source)
    with caplog.at_level(logging.WARNING, "mfv"):
        claim_inputs(tmp_path, other, fewer)
    assert "was begun with other images" in caplog.text


def test_an_untrained_custom_network_is_the_same_each_time() -> None:
    def weights() -> Tensor:
        target, given = "network._target_=torch.nn.Conv2d", ("in_channels=3", "out_channels=4", "kernel_size=5")
        settings = (target, *(f"+network.{each}" for each in given), "input_size=32")
        return next(mfv.preset("model", "custom", *settings).network.parameters()).clone()

    torch.manual_seed(1)
    one = weights()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert torch.equal(one, weights())
    assert torch.equal(before, torch.get_rng_state())


def test_codes_come_with_the_values_and_are_a_cosine_apart() -> None:
    model = TargetModel(network(), input_size=32)
    pixels = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(3))
    found = measure(model, "5", 1, None, pixels, True, "0")
    alone = measure(model, "5", 1, None, pixels, True)
    assert found.keys() - alone.keys() == {"codes"}
    for name, values in alone.items():
        np.testing.assert_array_equal(found[name], values)
    expected = torch.cat([model.activations(some, ["0"])["0"].mean((2, 3)) for some in pixels.split(32)])
    np.testing.assert_array_equal(found["codes"], expected.numpy())
    distances = code_distances(torch.tensor([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0]]))
    near = 1 - 0.5**0.5
    assert distances == {
        "code_distance_mean": pytest.approx((1 + 2 * near) / 3, rel=1e-6),
        "code_distance_min": pytest.approx(near, rel=1e-6),
    }
    assert code_distances(torch.rand(1, 4)) == {}
