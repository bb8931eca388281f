"""A unit's images: its class's, or those that it likes most; and what is said where labels do not fit."""

import logging

import numpy as np
import pytest

from mfv.discovery.selection import Selection

ACTIVATIONS = np.array([1.0, 5.0, 3.0, 4.0])


def test_the_classs_images_are_taken_where_there_are_enough() -> None:
    labels = ["Bee", None, "bee", "ant"]
    assert Selection()(ACTIVATIONS, labels, ["bee"], 2).tolist() == [2, 0]
    assert Selection("top", count=2)(ACTIVATIONS, labels, ["bee"], 2).tolist() == [1, 3]


def test_a_folder_is_a_class_however_its_blanks_are_written() -> None:
    labels = ["grocery_store", "Grocery Store", "storefront", "grocery  store"]
    assert Selection("class")(ACTIVATIONS, labels, ["grocery store", "n03461385"], 2).tolist() == [1, 3, 0]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["ant", "bee", "ant", None], "only 1 images are of the unit's class: its most active images are taken"),
        (["e", "d", "c", "b"], "no image is labelled bee (there are b, c, d …): its most active images are taken"),
        ([None] * 4, None),
    ],
)
def test_labels_that_do_not_fit_are_named(
    labels: list[str | None], said: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "mfv"):
        assert Selection()(ACTIVATIONS, labels, ["bee"], 2).tolist() == [1, 3, 2, 0]
    assert caplog.messages == ([said] if said else [])
    caplog.clear()
    Selection()(ACTIVATIONS, labels, [], 2)  # a hidden unit has no class
    assert caplog.messages == []
