"""k-means against scikit-learn's, where FAISS's own defaults go wrong; principal components against the SVD."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans as SlowTwin

from mfv.discovery import faiss_library, kmeans, principal_components
from mfv.discovery.partition import _without_empty
from mfv.errors import MfvError


@pytest.fixture(scope="module")
def blobs() -> np.ndarray:
    """Ten clear clusters in the plane, 400 points each: more than FAISS looks at by itself."""
    generator = np.random.default_rng(1)
    centers = generator.uniform(-100, 100, (10, 2))
    return (np.repeat(centers, 400, axis=0) + generator.standard_normal((4000, 2))).astype(np.float32)


def slow_inertia(points: np.ndarray, clusters: int) -> float:
    return float(SlowTwin(clusters, n_init=10, random_state=0).fit(points.astype(np.float64)).inertia_)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_as_good_as_scikit_learns(blobs: np.ndarray, seed: int) -> None:
    found = kmeans(blobs, 10, seed)
    assert found.inertia == pytest.approx(slow_inertia(blobs, 10), rel=1e-4)
    assert found.device in ("cpu", "gpu")


def test_without_clear_clusters_too() -> None:
    points = np.random.default_rng(0).standard_normal((600, 20)).astype(np.float32)
    assert kmeans(points, 12, 0).inertia <= 1.01 * slow_inertia(points, 12)


def test_the_result_is_consistent(blobs: np.ndarray) -> None:
    found = kmeans(blobs, 7, 0, tries=2)
    assert found.assignment.shape == (4000,)
    assert found.assignment.dtype == np.int64
    assert set(found.assignment) == set(range(7))
    for cluster in range(7):
        mean = blobs[found.assignment == cluster].mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(found.centers[cluster], mean, rtol=1e-5)
    offsets = blobs - found.centers[found.assignment].astype(np.float64)
    assert found.inertia == pytest.approx((offsets**2).sum(), rel=1e-6)


def test_more_tries_are_never_worse() -> None:
    points = np.random.default_rng(3).standard_normal((500, 2)).astype(np.float32)
    inertias = [kmeans(points, 25, 4, tries=tries, iterations=30).inertia for tries in (1, 5, 15)]
    assert inertias == sorted(inertias, reverse=True)


def test_the_same_seed_gives_the_same_bytes(blobs: np.ndarray) -> None:
    first, second = kmeans(blobs, 13, 5, tries=2), kmeans(blobs, 13, 5, tries=2)
    assert first.assignment.tobytes() == second.assignment.tobytes()
    assert first.centers.tobytes() == second.centers.tobytes()
    assert first.assignment.tobytes() != kmeans(blobs, 13, 6, tries=2).assignment.tobytes()


def test_far_from_the_origin_small_distances_count() -> None:
    points = np.repeat([[0.0, 0.0], [1.0, 0.0]], 30, axis=0) + np.random.default_rng(0).normal(0, 0.1, (60, 2))
    found = kmeans((points + 50_000).astype(np.float32), 2, 0)
    assert sorted(np.bincount(found.assignment)) == [30, 30]
    assert len(set(found.assignment[:30])) == 1


def test_as_many_clusters_as_points() -> None:
    points = np.random.default_rng(0).random((9, 3), dtype=np.float32)
    found = kmeans(points, 9, 0)
    assert sorted(found.assignment) == list(range(9))
    assert found.inertia == pytest.approx(0, abs=1e-9)


def test_repeated_points_leave_no_cluster_empty() -> None:
    points = np.concatenate([np.zeros((50, 2)), np.ones((1, 2)), [[5, 5]], [[5, 5.001]]]).astype(np.float32)
    found = kmeans(points, 4, 0)
    assert sorted(np.bincount(found.assignment, minlength=4)) == [1, 1, 1, 50]
    assert sorted(np.bincount(kmeans(np.zeros((6, 2)), 3, 0).assignment, minlength=3))[0] >= 1


def test_empty_clusters_take_the_points_farthest_off() -> None:
    points = np.array([[0.0], [1.0], [2.0], [9.0], [30.0]])
    repaired = _without_empty(np.array([0, 0, 0, 0, 3]), points, 4)
    assert repaired.tolist() == [2, 0, 0, 1, 3]


def test_the_input_is_left_as_it_is_whatever_its_layout(blobs: np.ndarray) -> None:
    wide = np.asfortranarray(np.repeat(blobs, 2, axis=1).astype(np.float64))[:, ::2]
    before = wide.copy()
    assert np.array_equal(kmeans(wide, 10, 0).assignment, kmeans(blobs, 10, 0).assignment)
    assert np.array_equal(wide, before)


def test_nothing_is_written_to_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    kmeans(np.random.default_rng(0).random((50, 4)), 40, 0)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_is_named() -> None:
    points = np.random.default_rng(0).random((5, 2), dtype=np.float32)
    with pytest.raises(MfvError, match="6 clusters of 5 points"):
        kmeans(points, 6, 0)
    with pytest.raises(MfvError, match="0 clusters"):
        kmeans(points, 0, 0)
    with pytest.raises(MfvError, match="NaN or infinity"):
        kmeans(np.full((5, 2), np.nan), 2, 0)
    with pytest.raises(MfvError, match="tries=0"):
        kmeans(points, 2, 0, tries=0)
    with pytest.raises(MfvError, match=r"device is 'cuda'; it is one of auto, cpu, gpu"):
        kmeans(points, 2, 0, device="cuda")


def test_a_gpu_that_is_not_there_is_not_silently_replaced() -> None:
    if faiss_library.pick_device(faiss_library.load_faiss(), "auto", faiss_library.LARGE) == "gpu":
        pytest.skip("FAISS has a GPU here")
    with pytest.raises(MfvError, match="FAISS sees none"):
        kmeans(np.eye(4), 2, 0, device="gpu")


def test_a_gpu_is_taken_for_much_work() -> None:
    with_gpu = SimpleNamespace(StandardGpuResources=object, get_num_gpus=lambda: 1)
    assert faiss_library.pick_device(with_gpu, "auto", faiss_library.LARGE) == "gpu"
    assert faiss_library.pick_device(with_gpu, "auto", 1000) == "cpu"
    assert faiss_library.pick_device(with_gpu, "gpu", 1000) == "gpu"
    assert faiss_library.pick_device(with_gpu, "cpu", faiss_library.LARGE) == "cpu"


@pytest.fixture
def not_loaded_yet() -> Iterator[None]:
    faiss_library.load_faiss.cache_clear()
    yield
    faiss_library.load_faiss.cache_clear()


@pytest.mark.usefixtures("not_loaded_yet")
def test_two_builds_at_once_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("faiss_cpu", "faiss_gpu_cu12"):  # as pip leaves them
        folder = tmp_path / f"{name}-1.9.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.9\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MfvError, match=r"faiss-cpu and faiss-gpu-cu12 are both installed.*pip uninstall"):
        kmeans(np.eye(4), 2, 0)


@pytest.mark.usefixtures("not_loaded_yet")
def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(faiss_library, "import_module", missing)
    with pytest.raises(MfvError, match=r"No module named 'faiss'.*mfv\[cpu\].*mfv\[gpu\]"):
        kmeans(np.eye(4), 2, 0)


@pytest.mark.parametrize("shape", [(200, 30), (30, 200), (6000, 12)])
def test_principal_components_are_the_svds(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    codes = (generator.standard_normal(shape) * np.linspace(5, 1, shape[1]) + 3).astype(np.float32)
    centred = codes.astype(np.float64) - codes.mean(axis=0, dtype=np.float64)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:8].T
    found = principal_components(codes, 8)
    assert found.dtype == np.float32
    cosines = (expected * found).sum(0) / np.linalg.norm(expected, axis=0) / np.linalg.norm(found, axis=0)
    np.testing.assert_allclose(np.abs(cosines), 1, atol=1e-4)
    np.testing.assert_allclose(found.std(axis=0), expected.std(axis=0), rtol=1e-4)  # not whitened


def test_the_directions_of_principal_components_are_settled() -> None:
    codes = np.random.default_rng(0).standard_normal((40, 3)).astype(np.float32) * [9, 3, 1]
    loadings = np.linalg.lstsq(codes - codes.mean(axis=0), principal_components(codes, 3), rcond=None)[0]
    largest = np.abs(loadings).argmax(axis=0)
    assert (loadings[largest, range(3)] > 0).all()
    assert largest.tolist() == [0, 1, 2]


@pytest.mark.parametrize(("shape", "expected"), [((4, 9), 4), ((9, 4), 4), ((1, 3), 1), ((60, 60), 50)])
def test_there_are_only_so_many_components(shape: tuple[int, int], expected: int) -> None:
    codes = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert principal_components(codes, 50).shape == (shape[0], expected)
