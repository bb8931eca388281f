"""From clusters to members, exemplars and mean images."""

import numpy as np
import pytest
import torch

from mfv.discovery import exemplars, facet_members, mean_image
from mfv.discovery.naming import frequent_labels
from mfv.errors import MfvError
from mfv.structures import Clustering, Facet


@pytest.fixture
def clustering() -> Clustering:
    return Clustering(
        assignment=np.array([1, 0, 0, 1, 0, 2]),
        distances=np.array([3.0, 2.0, 1.0, 0.5, 2.0, 9.0], dtype=np.float32),
        embedding=np.zeros((6, 2), dtype=np.float32),
    )


def test_members_are_nearest_first_and_the_earlier_leads_among_equals(clustering: Clustering) -> None:
    assert [members.tolist() for members in facet_members(clustering)] == [[2, 1, 4], [3, 0], [5]]


def test_every_image_is_in_one_facet() -> None:
    generator = np.random.default_rng(0)
    assignment = generator.permutation(np.arange(200) % 7)
    members = facet_members(Clustering(assignment, generator.random(200), np.zeros((200, 2))))
    assert sorted(np.concatenate(members).tolist()) == list(range(200))
    assert all((assignment[rows] == cluster).all() for cluster, rows in enumerate(members))


def test_exemplars_are_the_nearest_or_all(clustering: Clustering) -> None:
    members = facet_members(clustering)[0]
    assert exemplars(members, 2).tolist() == [2, 1]
    assert exemplars(members).tolist() == [2, 1, 4]
    assert len(exemplars(np.arange(40))) == 15
    with pytest.raises(MfvError, match="exemplars is 0"):
        exemplars(members, 0)


def test_the_mean_image_is_the_plain_mean() -> None:
    images = torch.rand(15, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    mean = mean_image(images)
    assert mean.shape == (3, 8, 6)
    assert mean.dtype == torch.float32
    torch.testing.assert_close(mean, torch.from_numpy(images.numpy().astype(np.float64).mean(0)).float())
    torch.testing.assert_close(mean_image(images[:1]), images[0])
    assert mean_image(images.half()).dtype == torch.float32


def test_a_mean_of_nothing_is_refused() -> None:
    for images in (torch.zeros(0, 3, 4, 4), torch.zeros(3, 4, 4)):
        with pytest.raises(MfvError, match="at least one"):
            mean_image(images)


def test_facets_are_called_what_their_images_are() -> None:
    labels = ["n1", "n2", "n2", None, "barn", "n1", "n1"]
    named = frequent_labels(labels, [[0, 1, 2, 3, 5], [4, 6], [4], []], {"n1": "tabby", "n2": "carousel"})
    assert named == [(("tabby", 2), ("carousel", 2)), (), (("barn", 1),), ()]  # one of several says nothing
    assert frequent_labels(["n1", None, "n1"], [[0, 1], [2]]) == [(), ()]  # says nothing: all are alike
    facet = Facet(0, ("a", "b"), ("a",), labels=named[0])
    assert Facet.from_json(facet.to_json()) == facet
