"""What is streamed is what is computed in memory."""

import numpy as np
import pytest

from mfv.discovery.partition import kmeans
from mfv.discovery.pca import principal_components
from mfv.discovery.streaming import streamed_components


def codes(rows: int = 900, width: int = 60, far: float = 30.0) -> np.ndarray:
    generator = np.random.default_rng(0)
    scales = np.geomspace(8, 0.5, width)
    return (far + generator.standard_normal((rows, width)) * scales).astype(np.float16)


@pytest.mark.parametrize("size", [900, 128, 1])
@pytest.mark.parametrize("unit_length", [False, True])
def test_streamed_components_are_those_in_memory(size: int, unit_length: bool) -> None:
    whole = codes()
    prepared = whole.astype(np.float32)
    if unit_length:
        prepared /= np.linalg.norm(prepared, axis=1, keepdims=True)
    expected = principal_components(prepared, 10)
    found = streamed_components(lambda: (whole[i : i + size] for i in range(0, 900, size)), 10, unit_length)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_there_are_no_more_components_than_rows_or_columns() -> None:
    assert streamed_components(lambda: [codes(5)], 50).shape == (5, 5)
    assert streamed_components(lambda: [codes(100)], 80).shape == (100, 60)
    with pytest.raises(ValueError, match="no codes"):
        streamed_components(lambda: [], 3)


def test_starts_from_some_points_still_place_all_of_them() -> None:
    generator = np.random.default_rng(1)
    kinds = generator.integers(0, 6, 3000)
    points = 20 * generator.standard_normal((6, 8))[kinds] + generator.standard_normal((3000, 8))
    whole, some = kmeans(points, 6, 0), kmeans(points, 6, 0, start_points=300)
    assert len(some.assignment) == 3000
    assert some.inertia == pytest.approx(whole.inertia, rel=1e-6)
    assert len(set(zip(whole.assignment, some.assignment, strict=True))) == 6
