"""Half precision and compiling are tried, and left where they are no gain; the log says why."""

import logging
import os
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfv.data import PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.models import passes
from mfv.models.acceleration import Acceleration
from mfv.models.batches import filled, shown
from mfv.models.passes import compiled, fastest_pass, gradient, in_half_precision, plain_pass, repeatable
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model

LAYERS = ["features.13", "classifier.1:in", "classifier.1"]


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return prepare(torchvision_model("mobilenet_v2"), keep=LAYERS)


@pytest.fixture(scope="module")
def photographs(model: TargetModel) -> Tensor:
    source, preprocess = PhotoCrops(), Preprocess(model.input_size, model.resize)
    return torch.stack([preprocess(source.load(row)) for row in (0, 300)])


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(3, 8, 3, stride=2), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.first(x)).mean((2, 3)))


class Undecided(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if x.mean() > 0 else -x)  # the pass hangs on what it is given


def test_half_precision_gives_nearly_the_same_gradient(model: TargetModel, photographs: Tensor) -> None:
    plain, half = plain_pass(model, LAYERS), in_half_precision(plain_pass(model, LAYERS), torch.float16)
    with torch.no_grad():
        for layer, values in half(photographs).items():
            assert values.dtype == torch.float32
            assert F.cosine_similarity(values.flatten(), plain(photographs)[layer].flatten(), dim=0) > 0.999, layer
    one, other = gradient(plain, photographs), gradient(half, photographs)
    assert other.dtype == torch.float32
    assert F.cosine_similarity(one.flatten(1), other.flatten(1)).min() > 0.95
    assert 0.9 < one.norm() / other.norm() < 1.1  # what lifted the gradient is taken off again


@pytest.mark.skipif(shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler")
def test_a_compiled_pass_gives_the_same() -> None:
    model = TargetModel(Small(), input_size=16)
    layers, pixels = ["first", "last:in", ""], torch.rand(2, 3, 16, 16)
    plain, fused = plain_pass(model, layers), compiled(model, layers)
    for layer, values in fused(pixels).items():
        assert torch.allclose(values, plain(pixels)[layer], atol=1e-5), layer
    assert torch.allclose(gradient(fused, pixels), gradient(plain, pixels), atol=1e-5)
    assert not model.network.first._forward_hooks


def test_a_compiled_pass_gives_the_layers_that_the_plain_one_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probabilities, and maps with the channels in front."""

    class ChannelsLast(Small):
        def forward(self, pixels: Tensor) -> Tensor:
            self.turned(pixels.permute(0, 2, 3, 1))
            return super().forward(pixels)

    network = ChannelsLast()
    network.turned = nn.Identity()
    model, pixels = TargetModel(network, input_size=16), torch.rand(2, 3, 16, 16)
    monkeypatch.setattr(torch, "compile", lambda program, **settings: program)
    layers = ["turned", "", "prob"]
    plain, fused = plain_pass(model, layers)(pixels), compiled(model, layers)(pixels)
    assert plain["turned"].shape == (2, 3, 16, 16)
    assert plain["prob"].sum(1) == pytest.approx([1, 1])
    for layer in layers:
        assert torch.equal(fused[layer], plain[layer]), layer


def test_what_is_no_faster_is_left(
    model: TargetModel, photographs: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(passes, "_seconds", lambda run, pixels: 1.0)
    with caplog.at_level(logging.INFO, "mfv"):
        chosen = fastest_pass(model, LAYERS, photographs, Acceleration("float16"))
    assert "float16 is left off: a gradient takes 1.00 times as long with it" in caplog.text
    assert torch.equal(chosen(photographs)["classifier.1"], model(photographs))


def test_what_is_faster_is_taken(
    model: TargetModel, photographs: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = iter([2.0, 1.0] * passes.ROUNDS)  # without and with it, in turn
    monkeypatch.setattr(passes, "_seconds", lambda run, pixels: next(seconds))
    with caplog.at_level(logging.INFO, "mfv"):
        chosen = fastest_pass(model, LAYERS, photographs, Acceleration("float16"))
    assert "float16: a gradient is 2.00 times as fast" in caplog.text
    assert not torch.equal(chosen(photographs)["classifier.1"], model(photographs))


def test_what_changes_the_gradient_is_left(
    model: TargetModel, photographs: Tensor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(passes, "ALIKE", 1.0)
    with caplog.at_level(logging.INFO, "mfv"):
        fastest_pass(model, LAYERS, photographs, Acceleration("bfloat16"))
    assert "bfloat16 is left off: its gradient has a cosine of 0." in caplog.text


def test_a_network_that_cannot_be_compiled_is_run_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    model, pixels = TargetModel(Undecided(), input_size=16), torch.rand(2, 3, 16, 16)
    with caplog.at_level(logging.INFO, "mfv"):
        chosen = fastest_pass(model, ["last"], pixels, Acceleration(compile=True))
    assert "compile is left off: " in caplog.text
    assert torch.equal(chosen(pixels)["last"], model(pixels))


def test_an_unknown_precision_is_answered() -> None:
    with pytest.raises(MfvError, match=r"machine\.precision is 'bfloat'; did you mean bfloat16\?"):
        Acceleration("bfloat")


def test_batches_are_filled_up_where_another_size_would_be_prepared_for() -> None:
    photographs = torch.randint(0, 256, (3, 3, 8, 8), dtype=torch.uint8)
    model = TargetModel(nn.Conv2d(3, 4, 1), input_size=8, std=(1, 1, 1), mean=(0, 0, 0))
    here = shown(photographs, model, 5)
    assert torch.equal(here, photographs / 255)
    assert here.is_contiguous(memory_format=torch.channels_last)
    assert shown(photographs, model.to("meta"), 5).shape == (5, 3, 8, 8)
    whole = filled(photographs, 5)
    assert torch.equal(whole[:3], photographs)
    assert torch.equal(whole[3:], photographs[[2, 2]])
    assert torch.equal(filled(photographs, 3), photographs)


def test_cudnn_is_as_it_was_after_a_repeatable_pass() -> None:
    before = torch.backends.cudnn.deterministic

    @repeatable()
    def failing() -> None:
        assert torch.backends.cudnn.deterministic
        raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        failing()
    assert torch.backends.cudnn.deterministic == before
