import pytest
import torch
from torch import nn

from mfv.activations.receptive_field import ReceptiveField, receptive_field
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model


@pytest.fixture(scope="module")
def alexnet():
    aliases = {"conv1": "features.0", "conv2": "features.3", "fc8": "classifier.6"}
    return torchvision_model("alexnet", weights="none", aliases=aliases)


def analytic(layers, last):
    """Size, stride and start of a chain of convolutions and pools, from their arithmetic: the slow twin."""
    size, stride, start = 1, 1, 0
    for index, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d | nn.MaxPool2d):
            kernel, step, padding = (
                value[0] if isinstance(value, tuple) else value
                for value in (layer.kernel_size, layer.stride, layer.padding)
            )
            start -= padding * stride
            size += (kernel - 1) * stride
            stride *= step
        if index == last:
            return size, stride, start
    raise AssertionError("no such layer")


KNOWN = {"features.0": (11, 4), "features.3": (51, 8), "features.6": (99, 16), "features.8": (131, 16)}
KNOWN["features.10"] = KNOWN["features.11"] = (163, 16)


@pytest.mark.parametrize("layer", KNOWN)
def test_alexnet_is_as_published_and_as_the_arithmetic_says(alexnet, layer):
    field = receptive_field(alexnet, layer)
    assert (field.size, field.stride) == KNOWN[layer]
    features = alexnet.network.get_submodule("features")
    assert (field.size, field.stride, field.start) == analytic(features, int(layer.split(".")[1]))
    assert not field.covers_image


def test_fields_within_the_image_are_measured_either_way(alexnet):
    assert receptive_field(alexnet, "conv2", beyond=False) == receptive_field(alexnet, "conv2")


def test_relus_and_aliases_have_the_convolutions_field(alexnet):
    assert receptive_field(alexnet, "features.1") == receptive_field(alexnet, "conv1")


def test_boxes_are_clipped_to_the_image(alexnet):
    field = receptive_field(alexnet, "conv2")
    assert field.grid == (27, 27)
    assert field.box(0, 0) == (0, 0, 51 + field.start, 51 + field.start)
    assert field.box(13, 5) == (13 * 8 + field.start, 5 * 8 + field.start, 51, 51)
    top, left, height, width = field.box(26, 26)
    assert (top + height, left + width) == (224, 224)


def test_a_box_holds_all_pixels_that_matter():
    generator = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(8, 4, 3))
    model = TargetModel(network, input_size=64, code_layer="3", anchor_layer="3")
    field = receptive_field(model, "3")
    image = torch.rand(1, 3, 64, 64, generator=generator)
    for y, x in ((0, 0), (5, 7), (field.grid[0] - 1, 2)):
        top, left, height, width = field.box(y, x)
        other = torch.rand(1, 3, 64, 64, generator=generator)
        inside = other.clone()
        window = (..., slice(top, top + height), slice(left, left + width))
        inside[window] = image[window]
        here = model.activations(image, ["3"])["3"][0, :, y, x]
        torch.testing.assert_close(model.activations(inside, ["3"])["3"][0, :, y, x], here)
        assert not torch.allclose(model.activations(other, ["3"])["3"][0, :, y, x], here)


def test_a_field_larger_than_the_image():
    model = torchvision_model("mobilenet_v2", weights="none")
    field = receptive_field(model, "features.13")
    assert (field.size, field.stride, field.start, field.grid) == (267, 16, -133, (14, 14))
    assert not field.covers_image
    assert field.box(7, 0) == (0, 0, 224, 134)
    # That it is larger is known without measuring how large.
    assert receptive_field(model, "features.13", beyond=False) == ReceptiveField(224, 0, 0, (14, 14), 224)
    field = receptive_field(model, "features.18")
    assert field == ReceptiveField(224, 0, 0, (7, 7), 224)
    assert field.covers_image
    assert field.box(3, 6) == (0, 0, 224, 224)


@pytest.mark.parametrize("layer", ["fc8", "prob", ""])
def test_vectors_see_the_whole_image(alexnet, layer):
    assert receptive_field(alexnet, layer) == ReceptiveField(224, 0, 0, (1, 1), 224)


def test_squeeze_and_excitation_sees_the_whole_image():
    model = torchvision_model("mobilenet_v3_small", weights="none")
    assert (receptive_field(model, "features.0").size, receptive_field(model, "features.0").stride) == (3, 2)
    assert receptive_field(model, "features.4").covers_image


def test_tokens_see_the_whole_image_and_patches_their_own():
    model = torchvision_model("vit_b_32", weights="none")
    patches = receptive_field(model, "conv_proj")
    assert (patches.size, patches.stride, patches.start, patches.grid) == (32, 32, 0, (7, 7))
    tokens = receptive_field(model, "encoder.layers.encoder_layer_0")
    assert tokens.covers_image
    assert tokens.grid == (1, 50)


class Stubborn(nn.Module):
    """Dead weights, a zeroed branch, a pool and a rectifier without modules, and one image size only."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.branch = nn.Conv2d(4, 4, 3, padding=1)
        self.end = nn.Identity()
        self.head = nn.Linear(4, 2)
        nn.init.zeros_(self.branch.weight)
        nn.init.constant_(self.first.bias, -1000)

    def forward(self, image):
        if image.shape[-1] != 48:
            raise ValueError("48 pixels only")
        x = torch.relu(self.first(image))
        x = x + self.branch(x)
        x = self.end(nn.functional.max_pool2d(x, 2))
        return self.head(x.mean(dim=(2, 3)))


def test_dead_paths_count_and_the_network_stays_as_it_is():
    network = Stubborn()
    model = TargetModel(network, input_size=48)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    with torch.inference_mode():
        field = receptive_field(model, "end")
    assert (field.size, field.stride, field.start, field.grid) == (6, 2, -2, (24, 24))
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_a_network_that_gives_no_gradient_is_said_to_see_all():
    class Silent(nn.Sequential):
        @torch.no_grad()
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input)

    model = TargetModel(Silent(nn.Conv2d(3, 4, 3)), input_size=32, code_layer="0", anchor_layer="0")
    assert receptive_field(model, "0", beyond=False) == ReceptiveField(32, 0, 0, (30, 30), 32)
