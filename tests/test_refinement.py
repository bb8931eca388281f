"""Specks and near-duplicates: known clusters go where they belong."""

import numpy as np
import pytest

from mfv.discovery import KMeans, Refinement
from mfv.discovery.refinement import merged_alike, without_specks
from mfv.errors import MfvError
from mfv.structures import Clustering


def blobs(sizes: list[int], centers: list[list[float]]) -> tuple[np.ndarray, np.ndarray]:
    """Return points around centres, and which centre each is of."""
    generator = np.random.default_rng(0)
    own = np.repeat(np.arange(len(sizes)), sizes)
    return np.array(centers)[own] + 0.01 * generator.standard_normal((len(own), len(centers[0]))), own


def clustering(assignment: np.ndarray) -> Clustering:
    count = len(assignment)
    return Clustering(assignment, np.zeros(count, np.float32), np.zeros((count, 2), np.float32), {"stability": [1.0]})


def test_a_speck_goes_to_its_nearest_neighbour() -> None:
    points, own = blobs([50, 40, 3], [[0, 0], [10, 0], [9, 1]])
    result, specks = without_specks(own, points, 0.1)
    assert specks == 1
    assert (result[:50] == 0).all()
    assert (result[50:] == 1).all()
    assert without_specks(own, points, 0.0)[1] == 0
    assert len(np.unique(without_specks(own, points, 0.6)[0])) == 1  # the largest stays


def test_near_duplicates_become_one_the_most_alike_first() -> None:
    points, own = blobs([30, 30, 30, 30], [[5, 0], [5, 0.2], [-5, 2], [-5, -4]])
    result, times = merged_alike(own, points, 0.9)
    assert times == 1
    assert len(np.unique(result[:60])) == 1
    assert len(np.unique(result)) == 3
    assert merged_alike(own, points, 1.1)[1] == 0
    assert len(np.unique(merged_alike(own, points, -1.0)[0])) == 1


def test_the_facets_are_numbered_anew_and_nothing_that_was_given_is_changed() -> None:
    points, own = blobs([20, 30, 25, 2], [[5, 0], [5, 0.1], [-5, 2], [-5, 2.5]])
    given, before = clustering(own), own.copy()
    refined = Refinement(merge=0.9, smallest=0.1)(given, points)
    assert np.array_equal(given.assignment, before)
    assert np.bincount(refined.assignment).tolist() == [50, 27]
    assert refined.details == {"merged": 1, "specks": 1}
    first = points[refined.assignment == 0]
    expected = np.linalg.norm(first - first.mean(0), axis=1)
    assert np.allclose(refined.distances[refined.assignment == 0], expected, atol=1e-5)


def test_by_default_nothing_changes() -> None:
    points, own = blobs([20, 1], [[1, 0], [1, 0.1]])
    given = clustering(own)
    assert Refinement()(given, points) is given


@pytest.mark.parametrize(
    ("merge", "smallest", "message"), [(2.0, None, "refine.merge"), (None, 0.7, "refine.smallest")]
)
def test_what_makes_no_sense_is_said(merge: float | None, smallest: float | None, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        Refinement(merge, smallest)


def test_spherical_clusters_are_of_directions() -> None:
    generator = np.random.default_rng(1)
    directions = np.eye(6)[:3]
    own = np.repeat(np.arange(3), 40)
    points = directions[own] + 0.05 * generator.standard_normal((120, 6))
    points *= generator.uniform(0.1, 20, 120)[:, None]  # lengths that say nothing
    found = KMeans(unit_length=False, map="pca", spherical=True)(points.astype(np.float32), 3, 0)
    for kind in range(3):
        assert len(np.unique(found.assignment[own == kind])) == 1
    assert len(np.unique(found.assignment)) == 3
    assert found.details["spherical"] is True
