"""What a unit that sees less than the image is shown."""

import pytest
import torch

from mfv.activations.receptive_field import receptive_field
from mfv.activations.values import interior_values, unit_values
from mfv.activations.view import tell_of_first_token, unit_view, view_in
from mfv.data import PhotoCrops, crop_resized, to_tensor
from mfv.models.target import TargetModel
from mfv.models.timm import efficientnet_lite, timm_model
from mfv.models.torchvision import torchvision_model

LAYER = "features.3.conv.2"


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


def test_a_window_gives_the_unit_the_value_that_the_whole_image_gave(model: TargetModel) -> None:
    field = receptive_field(model, LAYER)
    view = unit_view(field, model.input_size, None)
    assert view.interior is not None
    source = PhotoCrops(photos=["coffee", "cat"], scales=[1.0])
    images = torch.stack([to_tensor(source.load(row), 224, 224) for row in range(len(source))])
    with torch.inference_mode():
        whole = model.activations(images, [LAYER])[LAYER]
        values, where = interior_values(whole, view.interior)
        assert where is not None
        for unit in (0, 5, 11):
            windows = torch.stack([view.window(image, int(w)) for image, w in zip(images, where[:, unit], strict=True)])
            assert windows.shape[-1] == view.size
            again = unit_values(model.activations(windows, [LAYER])[LAYER], view.position)[0][:, unit]
            assert torch.allclose(again, values[:, unit], atol=1e-3)
            assert view.seen(windows).shape[-1] == field.size


@pytest.mark.parametrize(("position", "whole"), [("0,0", True), ("30,0", True), ("9,9", False), ("center", False)])
def test_a_place_that_sees_the_border_is_shown_whole_images(
    model: TargetModel, position: str, whole: bool, caplog: pytest.LogCaptureFixture
) -> None:
    field = receptive_field(model, LAYER)
    with caplog.at_level("INFO", logger="mfv"):
        view = view_in(model, LAYER, field, position)
    assert ("so it is shown whole ones" in caplog.text) == whole
    assert view.crops == (not whole)
    source = PhotoCrops(photos=["coffee", "cat"], scales=[1.0])
    images = torch.stack([to_tensor(source.load(row), 224, 224) for row in range(len(source))])
    with torch.inference_mode():
        values, where = unit_values(model.activations(images, [LAYER])[LAYER], position)
        assert where is not None
        windows = torch.stack([view.window(image, int(w)) for image, w in zip(images, where[:, 5], strict=True)])
        again = unit_values(model.activations(windows, [LAYER])[LAYER], view.position)[0]
        assert torch.allclose(again[:, 5], values[:, 5], atol=1e-3)


def test_of_a_sequence_without_a_class_token_it_is_said_where_it_is_read(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("vit_tiny_patch16_224", "vit_base_patch16_siglip_gap_224"):
        network = timm_model(name, weights="none", num_classes=3, labels=list("abc"))
        tell_of_first_token(network, "blocks.0")
        tell_of_first_token(network, "")
        assert ("layer blocks.0: vit_base_patch16_siglip_gap_224 has no class token" in caplog.text) == ("gap" in name)
    assert caplog.text.count("has no class token") == 1


@pytest.mark.parametrize("layer", ["conv_stem", "blocks.1", "blocks.2"])
def test_layers_that_pad_as_tensorflow_does_stay_in_phase(layer: str) -> None:
    lite = efficientnet_lite()
    view = view_in(lite, layer, receptive_field(lite, layer, beyond=False), None)
    assert view.field is not None
    assert (lite.input_size - view.size) % view.field.stride == 0
    source = PhotoCrops(photos=["coffee"], scales=[1.0])
    image = to_tensor(source.load(0), 224, 224)
    with torch.inference_mode():
        values, where = interior_values(lite.activations(image[None], [layer])[layer], view.interior or (0, 0))
        assert where is not None
        for unit in (0, 3, 7):
            window = view.window(image, int(where[0, unit]))
            alone = unit_values(lite.activations(window[None], [layer])[layer], view.position)[0][0, unit]
            assert abs(float(alone - values[0, unit])) <= 1e-4 * float(values.abs().max())
            seen = view.seen(window[None])[0]
            top, left, height, width = (int(each) for each in view.boxes(where[:, unit].numpy())[0])  # type: ignore[index]
            assert torch.equal(seen, crop_resized(image, (top, left, height, width), height))


def test_a_network_that_pads_alike_everywhere_keeps_its_window(model: TargetModel) -> None:
    field = receptive_field(model, LAYER)
    assert view_in(model, LAYER, field, None) == unit_view(field, model.input_size, None)


def test_interior_places_are_those_of_the_whole_map() -> None:
    activation = torch.rand(3, 4, 9, 9, generator=torch.Generator().manual_seed(0))
    values, where = interior_values(activation, (2, 6))
    assert where is not None
    assert torch.equal(activation.flatten(2).gather(2, where[..., None])[..., 0], values)
    rows, columns = where // 9, where % 9
    assert rows.min() >= 2
    assert rows.max() <= 6
    assert columns.min() >= 2
    assert columns.max() <= 6


def test_a_network_that_cuts_off_the_border_has_views_within_the_image() -> None:
    class Cuts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution = torch.nn.Conv2d(3, 4, 5)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.convolution(pixels[..., 8:-8, 8:-8])

    model = TargetModel(Cuts(), input_size=48)
    view = unit_view(receptive_field(model, "convolution"), 48, None)
    assert view.position == "0,0"
    assert view.interior == (0, 27)
    assert view.size == 5 + 2 * 8
