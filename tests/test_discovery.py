"""Discovery: every method of conf/discovery, on made-up groups and on photographs grouped by people."""

import json
import logging
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hydra.utils import instantiate
from loading import load_script
from omegaconf import DictConfig, OmegaConf
from sklearn.metrics import adjusted_rand_score

from mfv.discovery import ConsensusTSNE, HDBSCANMap, TSNEKMeans, check_codes
from mfv.discovery.automatic import facet_count
from mfv.discovery.embedding import MOST, display_map, pca_map, tsne_map
from mfv.errors import MfvError
from mfv.experiment import Discovery

ROOT = Path(__file__).resolve().parents[1]
METHODS = sorted((ROOT / "conf" / "discovery").glob("*.yaml"))
SIZES = (30, 18, 18, 12)  # of the made-up groups; their order in `groups` is another


@pytest.fixture(params=METHODS, ids=lambda path: path.stem)
def settings(request: pytest.FixtureRequest):
    return OmegaConf.load(request.param)


def quick(settings: DictConfig) -> Discovery:
    """Return a method; where it makes several maps, with two."""
    return instantiate(settings, **({"maps": 2} if "maps" in settings else {}))


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    return np.random.default_rng(5).permutation(np.repeat(np.arange(len(SIZES)), SIZES))


@pytest.fixture(scope="module")
def codes(groups: np.ndarray) -> np.ndarray:
    """Four groups far apart in 40 dimensions, positive like a network's."""
    generator = np.random.default_rng(6)
    centers = 6 * generator.random((len(SIZES), 40))
    return np.abs(centers[groups] + 0.3 * generator.standard_normal((len(groups), 40))).astype(np.float32)


def test_groups_far_apart_are_found_and_numbered_by_size(settings, codes, groups) -> None:
    before = codes.copy()
    found = instantiate(settings)(codes, len(SIZES), 3)
    assert adjusted_rand_score(groups, found.assignment) == 1
    assert np.bincount(found.assignment).tolist() == list(SIZES)
    first_of_equals = [np.flatnonzero(found.assignment == cluster)[0] for cluster in (1, 2)]
    assert first_of_equals == sorted(first_of_equals)
    assert found.assignment.dtype == np.int64
    assert found.embedding.shape == (len(codes), 2)
    assert found.embedding.dtype == np.float32
    assert np.isfinite(found.embedding).all()
    assert found.distances.shape == (len(codes),)
    assert (found.distances >= 0).all()
    assert np.array_equal(codes, before)
    recorded = json.loads(json.dumps(dict(found.details), allow_nan=False))
    assert recorded["inertia"] >= 0


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.stem)
def test_the_record_names_the_method_as_the_command_line_does(path: Path, codes) -> None:
    assert quick(OmegaConf.load(path))(codes, 4, 0).details["method"] == path.stem


def test_the_same_seed_gives_the_same_bytes(settings, codes) -> None:
    first, second = (quick(settings)(codes, 7, 11) for _ in range(2))
    assert first.assignment.tobytes() == second.assignment.tobytes()
    assert first.distances.tobytes() == second.distances.tobytes()
    assert first.embedding.tobytes() == second.embedding.tobytes()


def test_nothing_is_written_to_the_terminal(settings, codes, capfd: pytest.CaptureFixture[str]) -> None:
    quick(settings)(codes, 40, 0)
    assert capfd.readouterr() == ("", "")


def test_the_yaml_states_the_defaults(settings) -> None:
    assert instantiate(settings) == type(instantiate(settings))()
    assert set(settings) - {"_target_"} == {field.name for field in fields(instantiate(settings))}


@pytest.mark.parametrize("images", [1, 2, 3, 4, 5, 6, 12])
def test_few_images_will_do(settings, images: int) -> None:
    codes = np.random.default_rng(0).random((images, 8), dtype=np.float32)
    for facets in {1, images}:
        found = quick(settings)(codes, facets, 0)
        clusters = len(set(found.assignment.tolist()))
        assert 1 <= clusters <= facets if found.details["method"] == "hdbscan" else clusters == facets
        assert found.embedding.shape == (images, 2)
        assert np.isfinite(found.embedding).all()


@pytest.mark.parametrize("scale", [1e-25, 1e30])
def test_the_codes_scale_does_not_matter(settings, codes, groups, scale: float) -> None:
    method = replace(instantiate(settings), unit_length=False)
    found = method((codes * scale).astype(np.float32), len(SIZES), 0)
    assert adjusted_rand_score(groups, found.assignment) == 1
    assert np.isfinite(found.distances).all()


def test_images_that_are_all_the_same_are_one_facet(settings) -> None:
    found = instantiate(settings)(np.ones((20, 8), dtype=np.float32), 1, 0)
    assert (found.assignment == 0).all()
    assert np.isfinite(found.embedding).all()


def test_codes_of_one_number_and_of_half_precision_will_do(settings) -> None:
    codes = np.repeat([[1.0], [5.0]], 10, axis=0).astype(np.float16) + np.arange(20)[:, None].astype(np.float16) / 64
    found = replace(instantiate(settings), unit_length=False)(codes, 2, 0)
    assert found.assignment.tolist() == [0] * 10 + [1] * 10


def test_unit_length_makes_faint_and_strong_images_alike(settings) -> None:
    generator = np.random.default_rng(2)
    directions = np.repeat(np.eye(2, 12), 20, axis=0) + 0.02 * generator.random((40, 12))
    codes = (directions * generator.choice([0.1, 10], size=(40, 1))).astype(np.float32)
    found = replace(instantiate(settings), unit_length=True)(codes, 2, 0)
    assert adjusted_rand_score(np.repeat([0, 1], 20), found.assignment) == 1


def test_many_points_are_arranged_by_opentsne(codes, groups, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openTSNE", reason='pip install "mfv[large]"')
    monkeypatch.setattr("mfv.discovery.embedding.MOST", len(codes) - 1)
    monkeypatch.setattr("mfv.discovery.embedding.by_scikit_learn", None)
    first, second = (tsne_map(codes, 3, iterations=250) for _ in range(2))
    assert np.array_equal(first.coordinates, second.coordinates)
    assert (first.method, first.coordinates.dtype) == ("tsne", np.float32)
    assert first.divergence is not None
    assert np.isfinite(first.divergence)
    found = TSNEKMeans(iterations=250, init="pca")(codes, len(SIZES), 3)
    assert adjusted_rand_score(groups, found.assignment) == 1


@pytest.mark.parametrize("facets", [0, -3, 2.5, True, "ten", None])
def test_a_number_of_facets_that_cannot_be_is_named(settings, codes, facets) -> None:
    with pytest.raises(MfvError, match=r"facets is .*; give a whole number"):
        instantiate(settings)(codes, facets, 0)


def test_what_is_wrong_with_codes_is_named(settings, codes) -> None:
    method = instantiate(settings)
    with pytest.raises(MfvError, match=r"facets is 79, but there are only 78 images.*facets=78"):
        method(codes, 79, 0)
    for value in (np.nan, np.inf, -np.inf):
        broken = codes.copy()
        broken[[3, 7], 5] = value
        with pytest.raises(MfvError, match=r"codes of 2 of 78 images .*rows 3, 7\)"):
            method(broken, 4, 0)
    with pytest.raises(MfvError, match=r"only 2 different codes.*facets=2"):
        method(np.repeat(codes[:2], 9, axis=0), 3, 0)
    for shape in ((78,), (78, 4, 4), (78, 0)):
        with pytest.raises(MfvError, match=r"one vector of floating-point numbers per image"):
            method(np.ones(shape, dtype=np.float32), 4, 0)


def test_a_code_beyond_float32_counts_as_infinite() -> None:
    with pytest.raises(MfvError, match="rows 1"):
        check_codes(np.array([[1.0], [1e300]]), 1)


def test_the_perplexity_comes_down_with_the_images(codes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="mfv"):
        found = TSNEKMeans()(codes, 4, 0)
    assert found.details["perplexity"] == pytest.approx((len(codes) - 1) / 3)
    assert "perplexity is 25.7 instead of 30: there are only 78 images" in caplog.text


@pytest.mark.parametrize(
    "wrong", [{"init": "spectral"}, {"iterations": 10}, {"perplexity": 0}, {"tries": 0}, {"device": "tpu"}]
)
def test_a_parameter_that_cannot_be_is_named(codes, wrong: dict) -> None:
    name, value = next(iter(wrong.items()))
    with pytest.raises(MfvError, match=rf"{name}.*{value}"):
        replace(TSNEKMeans(), **wrong)(codes, 4, 0)


def test_neighbours_stay_neighbours_in_the_map(codes, groups) -> None:
    plane = tsne_map(codes, 0).coordinates
    distances = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    assert (groups[distances.argmin(axis=1)] == groups).all()


def test_many_images_are_shown_by_pca() -> None:
    points = np.random.default_rng(0).random((MOST + 1, 3), dtype=np.float32)
    shown = display_map(points, "tsne", 0)
    assert shown.method == "pca"
    assert np.array_equal(shown.coordinates, pca_map(points).coordinates)
    with pytest.raises(MfvError, match=r"discovery\.map is 'umap'"):
        display_map(points, "umap", 0)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("discovery")


@pytest.fixture(scope="module")
def movie_theater(script: ModuleType, shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return MobileNetV2's codes (150, 1280) of the photos that the paper's authors grouped, and the groups (150,)."""
    model = script.torchvision_model("mobilenet_v2")
    windows, groups = script.images_and_groups(model, shared_data / "movie-theater", model.resize)
    return script.codes_of(model, windows), groups


def test_the_papers_facets_of_a_movie_theater_are_found_again(
    script: ModuleType, movie_theater: tuple[np.ndarray, np.ndarray]
) -> None:
    """Ten groups of 15; mean of ten seeds."""
    codes, groups = movie_theater
    assert codes.shape == (150, 1280)
    assert np.bincount(groups).tolist() == [15] * 10
    scores = script.agreement(codes, groups, "tsne", 10)
    ari, nmi = scores.rand.mean(), scores.information.mean()
    print(f"movie theater: ARI {ari:.3f}, NMI {nmi:.3f} (mean of ten seeds)")
    assert ari >= 0.38
    assert nmi >= 0.55


@pytest.mark.parametrize("kinds", [1, 3, 6])
def test_the_number_of_facets_is_found(kinds: int) -> None:
    generator = np.random.default_rng(0)
    centers = 4 * generator.standard_normal((kinds, 20)) / np.sqrt(20)
    codes = centers[generator.integers(0, kinds, 400)] + generator.standard_normal((400, 20)) / np.sqrt(20)
    found = facet_count(codes.astype(np.float32), unit_length=False)
    assert found == kinds


def test_few_or_equal_codes_are_one_facet() -> None:
    assert facet_count(np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)) == 1
    assert facet_count(np.ones((50, 5), np.float32)) == 1


def test_a_consensus_is_steadier_than_a_map_and_says_how_steady(
    script: ModuleType, movie_theater: tuple[np.ndarray, np.ndarray]
) -> None:
    codes, groups = movie_theater
    one, many = (script.agreement(codes, groups, method, 3, "maps=5") for method in ("tsne", "consensus"))
    assert many.own.mean() > one.own.mean() + 0.05
    assert many.rand.mean() >= 0.42
    found = ConsensusTSNE(maps=4)(codes, 10, 0)
    steadiness = np.array(found.details["stability"])
    assert len(steadiness) == 10
    assert 0.3 < steadiness.mean() < 1


def test_what_is_in_one_cluster_in_every_map_is_steady(codes, groups) -> None:
    found = ConsensusTSNE(maps=3)(codes, len(SIZES), 0)
    assert found.details["stability"] == [1.0] * len(SIZES)
    with pytest.raises(MfvError, match=r"discovery\.maps is 1"):
        ConsensusTSNE(maps=1)
    with pytest.raises(MfvError, match=r"5001 are more than 5000.*select\.count=5000"):
        ConsensusTSNE()(np.ones((5001, 2), dtype=np.float32), 2, 0)


def test_density_finds_as_many_as_there_are_or_the_largest_of_them(codes, groups) -> None:
    assert adjusted_rand_score(groups, HDBSCANMap()(codes, 10, 0).assignment) == 1
    two = HDBSCANMap()(codes, 2, 0)
    assert set(two.assignment.tolist()) == {0, 1}
    assert len(set(two.assignment[groups == np.bincount(groups).argmax()].tolist())) == 1
    with pytest.raises(MfvError, match=r"discovery\.smallest is 1\.5"):
        HDBSCANMap(smallest=1.5)
