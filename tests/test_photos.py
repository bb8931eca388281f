"""The bundled photographs: how many crops, what they show, and that nothing is downloaded."""

import pickle
import socket

import numpy as np
import pytest

from mfv.data import PhotoCrops, decode
from mfv.data.photos import PHOTOS, SMALLEST
from mfv.errors import MfvError


@pytest.fixture(scope="module")
def crops() -> PhotoCrops:
    return PhotoCrops()


def test_about_1100_crops_of_eleven_photographs(crops: PhotoCrops) -> None:
    assert 1000 <= len(crops) <= 1200
    assert {id.split("/")[0] for id in crops.ids} == set(PHOTOS)
    assert len(PHOTOS) == 11
    assert len(set(crops.ids)) == len(crops.ids) == len(crops.labels)
    assert set(crops.labels) == {None}
    assert list(crops.ids) == sorted(crops.ids)


def test_crops_are_square_large_enough_and_what_their_id_says(crops: PhotoCrops) -> None:
    photos = {name: np.asarray(decode(crops._files[name])) for name in PHOTOS}
    for index in range(0, len(crops), 7):
        name, place = crops.ids[index].split("/")
        side, top, left = (int(part.strip("pxy")) for part in place.split("_"))
        assert side >= SMALLEST
        pixels = np.asarray(crops.load(index))
        assert pixels.shape == (side, side, 3)
        np.testing.assert_array_equal(pixels, photos[name][top : top + side, left : left + side])


def test_crops_reach_all_edges_of_a_photograph() -> None:
    source = PhotoCrops(scales=[0.4], photos=["coffee"])  # 600 × 400
    assert {(crop.top, crop.left) for crop in source._crops} >= {(0, 0), (0, 440), (240, 0), (240, 440)}


def test_crops_are_pictures_and_not_blank(crops: PhotoCrops) -> None:
    contrast = np.array([np.asarray(crops.load(index)).std() for index in range(0, len(crops), 5)])
    assert np.median(contrast) > 30
    assert (contrast < 3).mean() < 0.01


def test_every_crop_is_different(crops: PhotoCrops) -> None:
    assert len({crops.load(index).tobytes() for index in range(len(crops))}) == len(crops)


def test_twice_the_same(crops: PhotoCrops) -> None:
    again = pickle.loads(pickle.dumps(PhotoCrops()))
    assert again.ids == crops.ids
    assert again.fingerprint == crops.fingerprint
    assert again.load(500).tobytes() == crops.load(500).tobytes()
    assert PhotoCrops(step=0.5).fingerprint != crops.fingerprint
    assert crops.index_of(crops.ids[321]) == 321


def test_smaller_steps_and_chosen_photographs() -> None:
    few = PhotoCrops(scales=[0.5], photos=["cat", "coffee"])
    assert {id.split("/")[0] for id in few.ids} == {"cat", "coffee"}
    assert len(PhotoCrops(scales=[0.5], step=0.2, photos=["cat", "coffee"])) > 3 * len(few)


def test_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    source = PhotoCrops()
    for name in PHOTOS:
        source.load(next(index for index, id in enumerate(source.ids) if id.startswith(name + "/")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"photos": ["cofee"]}, "did you mean coffee"),
        ({"photos": []}, "no crop"),
        ({"scales": [0.0, 0.5]}, "data.scales"),
        ({"scales": [1.5]}, "data.scales"),
        ({"scales": [0.01]}, "96 pixels"),
        ({"step": 0}, "data.step"),
        ({"max_bad_share": 2}, "data.max_bad_share"),
    ],
)
def test_wrong_settings_are_explained(settings: dict, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        PhotoCrops(**settings)
