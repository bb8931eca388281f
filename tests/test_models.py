import copy
import logging
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from torch import nn
from torchvision.transforms import functional as TF

from mfv import pipeline
from mfv.errors import MfvError
from mfv.models import imagenet
from mfv.models.custom import custom_model
from mfv.models.fingerprint import network_fingerprint
from mfv.models.layers import describe_layers
from mfv.models.own_code import own_code
from mfv.models.target import TargetModel, channels_first
from mfv.models.timm import efficientnet_lite, timm_model
from mfv.models.torchvision import torchvision_model
from mfv.presets import composed

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf" / "model"
CINEMA = 498


@pytest.fixture(scope="module")
def mobilenet():
    try:
        return torchvision_model("mobilenet_v2", anchor_layer="features.13")
    except MfvError as error:
        pytest.skip(f"MobileNetV2's weights are not at hand: {error}")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(6, 4),
    )


def pixels(n=2, size=16):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1))


def photos(paths, model):
    images = []
    for path in paths:
        with Image.open(path) as image:
            image = TF.resize(TF.to_tensor(image.convert("RGB")), model.resize, antialias=True)
        images.append(TF.center_crop(image, [model.input_size]))
    return torch.stack(images)


def accuracy(model, shared_data):
    paths = sorted((shared_data / "movie-theater").rglob("*.jpg"))[::8]
    with torch.inference_mode():
        scores = model(photos(paths, model))
    return (scores.argmax(1) == CINEMA).float().mean().item()


def test_mobilenet_with_its_weights_knows_a_cup_and_a_cat(mobilenet):
    skimage = pytest.importorskip("skimage.data")
    for photo, names in (
        (skimage.coffee(), {"espresso", "cup", "coffee mug"}),
        (skimage.chelsea(), {"tabby", "Egyptian cat"}),
    ):
        image = TF.center_crop(TF.resize(TF.to_tensor(photo), 256, antialias=True), [224])
        with torch.inference_mode():
            best = mobilenet(image[None]).argmax().item()
        assert mobilenet.labels[best] in names


def test_mobilenet_knows_cinemas(mobilenet, shared_data):
    assert accuracy(mobilenet, shared_data) > 0.8


@pytest.mark.parametrize(("version", "least"), [(0, 0.8), (2, 0.6)])  # of all 150: .93 and .87
def test_efficientnet_lite_knows_cinemas(version, least, shared_data):
    pytest.importorskip("timm")
    try:
        model = instantiate(OmegaConf.load(CONF / f"efficientnet_lite{version}.yaml"), _convert_="all")
    except MfvError as error:
        pytest.skip(f"EfficientNet-Lite{version}'s weights are not at hand: {error}")
    assert accuracy(model, shared_data) > least


def test_an_efficientnet_lite_without_a_package_is_refused():
    pytest.importorskip("timm")
    with pytest.raises(MfvError, match=r"version is one of \[0, 2\]"):
        efficientnet_lite(1)


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_of_the_configuration_works(path):
    assert re.match(rf"# model={path.stem}\b.*: ", path.read_text(encoding="utf-8").splitlines()[0])
    config = OmegaConf.load(path)
    if "timm" in config["_target_"]:
        pytest.importorskip("timm")
    if path.stem != "custom":
        config.weights = "none"
    else:
        config.network = {"_target_": "torchvision.models.shufflenet_v2_x0_5"}
    model = instantiate(config, _convert_="all")
    layers = dict.fromkeys((model.code_layer, model.anchor_layer, model.default_layer, "prob"))
    image = torch.rand(1, 3, model.input_size, model.input_size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        activations = model.activations(image, list(layers))
    assert model.name == config["name"]
    assert activations["prob"].shape == (1, 1000)
    assert activations["prob"].sum().item() == pytest.approx(1, abs=1e-4)
    assert activations[model.code_layer].ndim in (2, 3, 4)
    assert all(activation.isfinite().all() for activation in activations.values())
    units = activations[model.default_layer].shape[1]
    assert 0 <= int(model.default_unit) < units
    assert all(model.canonical(alias) == layer for alias, layer in model.aliases.items())
    if path.stem not in ("custom", "mobilenet_v2"):
        assert model.is_output(model.default_layer)
        assert model.labels[int(model.default_unit)] == "grocery store"


def test_the_users_network_is_not_touched(network):
    calls = []
    network[0].register_forward_hook(lambda *args: calls.append("hook"))
    network.train()
    before = copy.deepcopy(network.state_dict())
    model = TargetModel(network, input_size=16)
    image = pixels().requires_grad_()
    model.activations(image, ["2", ""])["2"].sum().backward()
    model(pixels())
    with pytest.raises(MfvError):
        model.activations(pixels(), ["9"])
    with pytest.raises(RuntimeError):
        model.activations(torch.rand(1, 4, 16, 16), ["5"])
    assert image.grad is not None
    assert calls == []
    assert len(network[0]._forward_hooks) == 1
    assert not any(module._forward_hooks for module in model.modules())
    assert all(module.training for module in network.modules())
    assert network[2].inplace
    assert all(parameter.grad is None and parameter.requires_grad for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_the_copy_is_frozen(network):
    model = TargetModel(network.train(), input_size=16)
    assert not any(module.training for module in model.network.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    before = copy.deepcopy(model.state_dict())
    model(pixels())
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_recorded_layers_are_what_they_gave_before_their_relu(network, mobilenet):
    model = TargetModel(network, input_size=16)
    activations = model.activations(pixels(), ["1", "2", "2:in", "5:in", ""])
    assert activations["1"].min() < 0
    torch.testing.assert_close(activations["1"].relu(), activations["2"])
    torch.testing.assert_close(activations["2:in"], activations["1"])
    torch.testing.assert_close(activations["5:in"], activations["2"].mean(dim=(2, 3)))
    torch.testing.assert_close(activations[""], model(pixels()))
    with torch.inference_mode():
        assert mobilenet.activations(pixels(1, 64), ["features.0.1"])["features.0.1"].min() < 0


def test_resnets_in_place_sum_and_densenets_in_place_relu_do_not_change_what_is_recorded():
    with torch.inference_mode():
        resnet = torchvision_model("resnet18", weights="none")
        block = resnet.activations(pixels(1, 64), ["layer1.0.bn2", "layer1.0.bn2:in", ""])
        expected = resnet.module("layer1.0.bn2")(block["layer1.0.bn2:in"])
        torch.testing.assert_close(block["layer1.0.bn2"], expected)
        dense = torchvision_model("densenet121", weights="none")
        assert dense.activations(pixels(1, 64), ["features", ""])["features"].min() < 0


def test_bgr_networks_get_their_channels_in_that_order():
    image = pixels(1, 4)
    mean, std = (0.1, 0.2, 0.3), (0.25, 0.5, 0.75)
    rgb = TargetModel(nn.Identity(), mean=mean, std=std, code_layer="", anchor_layer="")
    bgr = TargetModel(nn.Identity(), mean=mean, std=std, channel_order="bgr", code_layer="", anchor_layer="")
    torch.testing.assert_close(rgb(image)[:, 2], (image[:, 2] - 0.3) / 0.75)
    torch.testing.assert_close(bgr(image)[:, 0], (image[:, 2] - 0.3) / 0.75)
    with pytest.raises(MfvError, match="'rgb' or 'bgr'"):
        TargetModel(nn.Identity(), channel_order="brg")
    with pytest.raises(MfvError, match=r"mean of model custom is .* one number per channel, 3"):
        TargetModel(nn.Identity(), mean=(0.5,))


def test_layers_go_by_name_and_alias_and_wrong_ones_get_the_nearest():
    model = torchvision_model("squeezenet1_1", weights="none", aliases={"conv1": "features.0"})
    assert model.canonical("conv1") == "features.0"
    assert model.canonical("conv1:in") == "features.0:in"
    assert model.canonical("") == ""
    with pytest.raises(MfvError, match=r"no layer 'conv2'; did you mean conv1"):
        model.canonical("conv2")
    with pytest.raises(MfvError, match=r"no layer 'features\.3\.squeze'; did you mean features\.3\.squeeze"):
        model.canonical("features.3.squeze")
    with pytest.raises(MfvError, match="no layer 'prob:in'"):
        model.canonical("prob:in")
    assert model.activations(pixels(1, 64), ["conv1"]).keys() == {"conv1"}


def test_prob_is_the_softmax_of_the_output_unless_a_layer_has_that_name(network):
    model = TargetModel(network, input_size=16, labels=list("abcd"))
    activations = model.activations(pixels(), ["prob", "5"])
    torch.testing.assert_close(activations["prob"], activations["5"].softmax(1))
    assert model.canonical("prob") == "prob"
    with pytest.raises(MfvError, match="softmax of the output"):
        model.module("prob")
    own = TargetModel(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), aliases={"prob": "1"})
    assert own.canonical("prob") == "1"
    maps = TargetModel(nn.Conv2d(3, 2, 1), code_layer="", anchor_layer="")
    with pytest.raises(MfvError, match=r"class scores .* choose another layer"):
        maps.activations(pixels(), ["prob"])


def test_outputs_are_known(network):
    model = TargetModel(nn.Sequential(network[:3], nn.Sequential(*network[3:])), input_size=16)
    assert [layer for layer in ["", "prob", *model.layers()] if model.is_output(layer)] == [
        "",
        "prob",
        "1",
        "1.2",
    ]
    assert not model.is_output("1.2:in")
    assert (model.code_layer, model.default_layer) == ("1.2:in", "1.2")


def test_a_network_without_its_head_has_no_classes():
    backbone = torchvision.models.resnet18()
    backbone.fc = nn.Identity()
    headless = TargetModel(backbone)
    assert not [layer for layer in headless.layers() if headless.is_output(layer)]
    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1))
    segmenter = TargetModel(convolutions, input_size=16)
    assert not [layer for layer in ["", *segmenter.layers()] if segmenter.is_output(layer)]


def test_a_convolution_that_is_pooled_into_the_output_has_the_classes():
    squeezenet = TargetModel(torchvision.models.squeezenet1_1())
    assert [layer for layer in squeezenet.layers() if squeezenet.is_output(layer)] == ["classifier.1"]


def test_networks_that_differ_in_a_setting_have_other_fingerprints():
    def of(slope, text=""):
        rectifier = nn.LeakyReLU(slope)
        rectifier.extra_repr = lambda: f"{slope} <function f at 0x7f{text}>"  # where something lies in memory
        torch.manual_seed(0)
        return network_fingerprint(TargetModel(nn.Sequential(nn.Conv2d(3, 4, 3), rectifier), input_size=8))

    assert of(0.01) == of(0.01, "a0")
    assert of(0.01) != of(0.9)


OWN = """
from torch import nn

POWER = {power}

def louder(x):
    return {louder}

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.factor, self.act = {factor}, {act}

    def forward(self, x):{comment}
        self.side = x.shape[-1]
        return self.ending(self.act(louder(x)).mean((2, 3)) ** POWER)

    def ending(self, x):
        return self.linear({ending})

    def training_step(self, batch):
        return {unused}
"""
PLAIN = {"power": 1, "louder": "x * 2 if 'a' in {'a', 'b', 'c'} else x", "factor": 3, "act": "lambda x: x + 1"}
PLAIN |= {"ending": "x * self.factor", "comment": "", "unused": "batch"}


def own_network(module="__main__", **changes):
    """Return a network whose class was defined by a cell of a notebook, with other words in it."""
    names = {"__name__": module}
    exec(OWN.format(**{**PLAIN, **changes}), names)
    torch.manual_seed(0)
    return names["Net"]()


def own_fingerprint(**changes):
    return network_fingerprint(TargetModel(own_network(**changes), input_size=8))


@pytest.mark.parametrize(
    "change",
    [{"power": 2}, {"louder": "x * 3"}, {"factor": 4}, {"act": "lambda x: x + 2"}, {"ending": "self.factor - x"}],
    ids=str,
)
def test_networks_whose_code_differs_have_other_fingerprints(change):
    assert own_fingerprint(**change) != own_fingerprint()


@pytest.mark.parametrize(
    "change", [{"module": "__mp_main__"}, {"comment": "\n        # once more\n"}, {"unused": "batch + 1"}], ids=str
)
def test_code_that_no_pass_runs_counts_for_nothing(change):
    assert own_fingerprint(**change) == own_fingerprint()


def test_what_a_pass_sets_counts_for_nothing():
    used = own_network()
    used(torch.zeros(1, 3, 5, 5))
    assert network_fingerprint(TargetModel(used, input_size=8)) == own_fingerprint()


def test_a_networks_fingerprint_is_the_same_in_any_process():
    program = "from test_models import own_fingerprint; print(own_fingerprint())"
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(["tests", *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in "12"
    }
    assert found == {own_fingerprint()}


def test_of_shipped_networks_the_code_does_not_count():
    assert list(own_code(torchvision.models.resnet18())) == []
    assert list(own_code(timm.create_model("vit_tiny_patch16_224"))) == []


def test_a_model_stays_in_evaluation_mode():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout())
    model = TargetModel(network, input_size=8)
    nn.Sequential(model).train()
    assert not [module for module in [*model.modules(), model.train()] if module.training]
    assert network.training


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mean": (123.7, 116.3, 103.5)}, r"are \[123\.7, 116\.3, 103\.5\] and .*those of pixels in 0–255 by 255"),
        ({"std": (58.4, 57.1, 57.4)}, r"divide those of pixels in 0–255 by 255"),
        ({"mean": "abc"}, r"mean of model custom is 'abc'; it has one number per channel, 3"),
        ({"std": [None, 1, 1]}, r"std of model custom is \[None, 1, 1\]; it has one number per channel"),
        ({"std": [float("nan"), 1, 1]}, r"each is above 0"),
        ({"labels": "names.txt"}, r"labels is 'names\.txt'; give a list .*open\(path\)\.read\(\)\.splitlines\(\)"),
        ({"labels": [1, 2]}, r"labels\[0\] is 1; each is a string, as '1'"),
        ({"labels": ["a", None]}, r"labels\[1\] is None"),
        ({"labels": {1: "a", 2: "b"}}, r"labels maps 1, 2 … to names; give a name for each of the classes 0, 1, 2 …"),
        ({"synsets": "n03032252"}, r"synsets is 'n03032252'; give a list"),
    ],
    ids=str,
)
def test_statistics_and_names_that_cannot_be_are_refused(settings, said):
    with pytest.raises(MfvError, match=said):
        TargetModel(nn.Conv2d(3, 4, 3), input_size=8, **settings)


def test_statistics_may_be_tensors_and_labels_a_mapping():
    given = TargetModel(
        nn.Conv2d(3, 4, 3), input_size=8, mean=torch.full((3,), 0.5), labels={1: "dog", 0: "cat", "2": "cow"}
    )
    assert given.mean.flatten().tolist() == [0.5] * 3
    assert given.labels == ("cat", "dog", "cow")


def test_networks_that_give_mappings_and_layers_that_give_no_tensor():
    class Says(nn.Module):
        def __init__(self):
            super().__init__()
            self.word = nn.Identity()
            self.linear = nn.Linear(3, 2)

        def forward(self, image):
            self.word("a word")
            return {"hidden": image, "logits": self.linear(image.mean(dim=(2, 3)))}

    model = TargetModel(Says(), name="says")
    assert model(pixels()).shape == (2, 2)
    assert model.activations(pixels(), ["prob"])["prob"].shape == (2, 2)
    with pytest.raises(MfvError, match="'word' gives a str"):
        model.activations(pixels(), ["word"])


def test_networks_that_cannot_be_copied_are_named():
    class Open(nn.Module):
        def __deepcopy__(self, memo):
            raise TypeError("cannot pickle a lock")

    with pytest.raises(MfvError, match=r"network \(Open\) cannot be copied: cannot pickle a lock"):
        TargetModel(Open())


def test_a_network_that_keeps_what_it_computed_is_copied_after_a_pass_without_gradients():
    class Keeps(nn.Sequential):
        def forward(self, pixels):
            self.kept = super().forward(pixels)
            return self.kept

    network, pixels = Keeps(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), torch.rand(1, 3, 8, 8)
    network(pixels)
    with pytest.raises(MfvError, match=r"\(Keeps\) cannot be copied: .* run it once inside torch\.no_grad\(\) before"):
        TargetModel(network, input_size=8)
    with torch.no_grad():
        network(pixels)
    assert TargetModel(network, input_size=8)(pixels).shape == (1, 4)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning", "ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_refused():
    program = torch.jit.trace(nn.Conv2d(3, 2, 3), torch.rand(1, 3, 8, 8))
    with pytest.raises(MfvError, match=r"a TorchScript program.*give the nn\.Module behind it"):
        TargetModel(program, input_size=8)


def test_channels_last_maps_come_back_channels_first():
    model = torchvision_model("swin_t", weights="none")
    with torch.inference_mode():
        activations = model.activations(pixels(1, 64), ["features.0.0", "features.1"])
    assert activations["features.0.0"].shape == activations["features.1"].shape == (1, 96, 16, 16)
    assert channels_first(torch.zeros(1, 7, 7, 7)).shape == (1, 7, 7, 7)
    assert channels_first(torch.zeros(1, 5, 4)).shape == (1, 5, 4)


def test_the_layer_in_the_middle_is_the_same_wherever_the_network_is():
    here = TargetModel(torchvision.models.swin_t(), input_size=64)
    elsewhere = TargetModel(torchvision.models.swin_t().to("meta"), input_size=64)  # as on a GPU
    assert elsewhere.anchor_layer == here.anchor_layer


def test_transformers_have_a_layer_in_the_middle_that_takes_part():
    model = torchvision_model("vit_b_32", weights="none")
    assert re.match(r"encoder\.layers\.encoder_layer_[5-9]\.", model.anchor_layer)
    assert model.anchor_layer in model.activations(torch.zeros(1, 3, 224, 224), [model.anchor_layer])


def test_a_transformer_that_computes_with_its_projections_itself_has_a_layer_in_the_middle():
    swin = TargetModel(torchvision.models.swin_t())
    pixels = torch.rand(1, 3, 224, 224)
    assert swin.activations(pixels, [swin.anchor_layer])[swin.anchor_layer].numel()


def test_untrained_networks_are_announced_and_always_the_same(caplog):
    state = torch.get_rng_state()
    with caplog.at_level(logging.WARNING, logger="mfv"):
        one = torchvision_model("squeezenet1_1", weights="none")
    assert "untrained" in caplog.text
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(5)
    other = torchvision_model("squeezenet1_1", weights="none")
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
    assert (one.labels[CINEMA], one.synsets[CINEMA]) == ("cinema", "n03032252")


def test_wrong_names_of_networks_and_weights_get_the_nearest():
    with pytest.raises(MfvError, match=r"no classifier 'resnet51'; did you mean .*resnet50"):
        torchvision_model("resnet51")
    with pytest.raises(MfvError, match=r"no weights 'IMAGENET1K_V3': torchvision publishes IMAGENET1K_V1"):
        torchvision_model("resnet50", weights="IMAGENET1K_V3")


@pytest.mark.parametrize("kept", [True, False])
def test_googlenet_takes_checkpoints_with_and_without_auxiliary_heads(tmp_path, kept):
    torch.manual_seed(0)
    trained = torchvision.models.googlenet(weights=None, init_weights=False, transform_input=True).eval()
    state = {name: tensor for name, tensor in trained.state_dict().items() if kept or not name.startswith("aux")}
    torch.save(state, tmp_path / "mine.pth")
    model = torchvision_model("googlenet", weights=str(tmp_path / "mine.pth"))
    assert not any(name.startswith("aux") for name in model.layers())
    with torch.inference_mode():
        torch.testing.assert_close(model(pixels(1, 64)), trained(model.normalize(pixels(1, 64))))


def test_googlenet_scales_pixels_inside_unless_its_checkpoint_was_trained_without(tmp_path, caplog):
    torch.manual_seed(0)
    trained = torchvision.models.googlenet(weights=None, num_classes=3, aux_logits=False, init_weights=False).eval()
    torch.save(trained.state_dict(), tmp_path / "mine.pth")
    settings = {"weights": str(tmp_path / "mine.pth"), "num_classes": 3}
    model = torchvision_model("googlenet", **settings, transform_input=False)
    assert "transform_input" not in caplog.text
    shown = pixels(1, 64)
    with torch.inference_mode():
        expected = trained(model.normalize(shown))
        torch.testing.assert_close(model(shown), expected)
        other = torchvision_model("googlenet", **settings)
        assert "mine.pth: pixels are scaled inside (transform_input)" in caplog.text
        assert not torch.allclose(other(shown), expected)
    with pytest.raises(MfvError, match="transform_input is False; of googlenet and inception_v3, not of resnet18"):
        torchvision_model("resnet18", weights="none", transform_input=False)


def test_a_sequence_that_does_more_than_its_parts_is_a_layer_of_its_own():
    class Residual(nn.Sequential):
        def forward(self, shown):
            return shown + super().forward(shown)

    parts = [nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()]
    block = Residual(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
    model = TargetModel(nn.Sequential(nn.Sequential(*parts), block), input_size=8)
    assert model.before_activation("0") == "0.0"
    assert model.before_activation("1") == "1"
    assert model.before_activation("1.1") == "1.1"


def test_a_network_whose_weights_are_yet_to_be_made_is_refused():
    with pytest.raises(MfvError, match=r"\(LazyLinear\) has lazy modules, yet without weights: run it once"):
        TargetModel(nn.LazyLinear(2), input_size=8)


def test_densenets_published_names_are_understood(tmp_path):
    torch.manual_seed(0)
    trained = torchvision.models.densenet121(weights=None).eval()
    old = {
        re.sub(r"(denselayer\d+\.)(norm|conv)([12])", r"\1\2.\3", name): tensor
        for name, tensor in trained.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert "features.denseblock1.denselayer1.norm.1.weight" in old
    torch.save(old, tmp_path / "mine.pth")
    model = torchvision_model("densenet121", weights=str(tmp_path / "mine.pth"))
    with torch.inference_mode():
        torch.testing.assert_close(model(pixels(1, 64)), trained(model.normalize(pixels(1, 64))))


def test_checkpoints_of_other_classes(tmp_path):
    torch.save(torchvision.models.squeezenet1_1(weights=None, num_classes=3).state_dict(), tmp_path / "mine.pth")
    (tmp_path / "names.txt").write_text("ant\nbee\n\ncat\n", encoding="utf-8")
    path = str(tmp_path / "mine.pth")
    with pytest.raises(MfvError, match=r"of another shape \(classifier\.1\.weight \(3, .*num_classes=3 "):
        torchvision_model("squeezenet1_1", weights=path)
    model = torchvision_model("squeezenet1_1", weights=path, num_classes=3, labels=tmp_path / "names.txt")
    assert model.labels == ("ant", "bee", "cat")
    assert model.synsets == ()
    with pytest.raises(MfvError, match=r"labels=.*nowhere\.txt"):
        custom_model(nn.Linear(3, 2), labels="nowhere.txt")


def test_a_command_with_too_many_class_names_is_refused(tmp_path):
    torch.save(torchvision.models.squeezenet1_1(weights=None, num_classes=3).state_dict(), tmp_path / "mine.pth")
    (tmp_path / "names.txt").write_text("class\nant\nbee\ncat\n", encoding="utf-8")  # with a header
    settings = ["model=squeezenet1_1", f"model.weights={tmp_path}/mine.pth", "model.num_classes=3", "unit=ant"]
    settings += [f"model.labels={tmp_path}/names.txt", "layer=", f"store.root={tmp_path}/store"]
    with pytest.raises(MfvError, match="there are 4 labels, but 3 units in the output: give one for each"):
        pipeline.run(composed(settings), tmp_path / "run")


def test_custom_networks_load_their_own_weights(network, tmp_path):
    torch.save({"state_dict": network.state_dict()}, tmp_path / "mine.pth")
    other = copy.deepcopy(network)
    nn.init.zeros_(other[5].weight)
    model = custom_model(other, weights=str(tmp_path / "mine.pth"), labels=["a", "b", "c", "d"], input_size=16)
    assert torch.equal(model.network[5].weight, network[5].weight)
    assert other[5].weight.abs().sum() == 0
    assert model.labels == ("a", "b", "c", "d")
    with pytest.raises(MfvError, match=r"not a torch\.nn\.Module"):
        custom_model("resnet18")


def test_timm_models():
    pytest.importorskip("timm")
    model = timm_model("mobilenetv3_small_050", weights="none", num_classes=5, labels=list("abcde"))
    assert model.labels == tuple("abcde")
    assert model(pixels(1, 64)).shape == (1, 5)
    assert timm_model("mobilenetv3_small_050", weights="none").labels == imagenet.labels()
    with pytest.raises(MfvError, match=r"no model 'resnet19'; did you mean .*resnet18"):
        timm_model("resnet19")
    with pytest.raises(MfvError, match="it is pretrained, a path"):
        timm_model("resnet18", weights="IMAGENET1K_V1")


def test_imagenets_classes(shared_data):
    assert len(imagenet.labels()) == len(imagenet.synsets()) == 1000
    assert list(imagenet.synsets()) == sorted(set(imagenet.synsets()))
    assert imagenet.labels()[imagenet.GROCERY_STORE] == "grocery store"
    assert list(imagenet.labels()) == torchvision.models.AlexNet_Weights.IMAGENET1K_V1.meta["categories"]
    assert set(imagenet.synsets()) == {path.name for path in (shared_data / "imagenet-sample").iterdir()}


def test_layers_are_listed_with_what_they_give():
    script = runpy.run_path(str(ROOT / "scripts" / "list_layers.py"))
    make_model, table = script["make_model"], script["table"]
    model = make_model(["model=alexnet", "model.weights=none"])
    layers = {layer.name: layer for layer in describe_layers(model)}
    assert layers["features.0"].aliases == ("conv1",)
    assert (layers["features.0"].shape, layers["features.0"].units) == ((64, 55, 55), 64)
    assert (layers["classifier.6"].shape, layers["prob"].units) == ((1000,), 1000)
    lines = table(list(layers.values())).splitlines()
    assert len(lines) == len(model.layers()) + 2
    assert lines[2].split() == ["features.0", "conv1", "Conv2d", "64×55×55", "64"]
    vit = {layer.name: layer for layer in describe_layers(make_model(["model=vit_b_16", "model.weights=none"]))}
    assert vit["encoder.layers.encoder_layer_3"].shape == (197, 768)
    assert vit["encoder.layers.encoder_layer_3"].units == 768
    assert vit["encoder.layers.encoder_layer_3.self_attention.out_proj"].shape is None
    with pytest.raises(MfvError, match=r"no model 'alexnt' .* alexnet"):
        make_model(["model=alexnt"])
    with pytest.raises(MfvError, match="neither model=NAME nor"):
        make_model(["layer=conv1"])
