"""What is known of networks beforehand is what they are."""

import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from list_layers import CONF, make_model, names_of

from mfv.errors import MfvError
from mfv.models import known
from mfv.models.known import known_network
from mfv.models.units import resolve_unit


@pytest.mark.parametrize(
    "name", ["alexnet", "mobilenet_v2", "resnet18", "squeezenet1_1", "vit_b_16", "efficientnet_lite0"]
)
def test_the_names_are_the_networks_own(name: str) -> None:
    model = make_model([f"model={name}", "model.weights=none"])
    entry = known._known()["networks"][name]
    assert {"layers": entry["layers"], "classes": entry["classes"]} == names_of(model)


def settings(**changes: object) -> dict:
    return OmegaConf.to_container(OmegaConf.load(CONF / "alexnet.yaml")) | changes  # type: ignore[operator]


def test_another_network_or_version_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known_network(settings()) is not None
    for changes in ({"num_classes": 5}, {"labels": "mine.txt"}, {"name": "resnet34"}, {"_target_": "my.network"}):
        assert known_network(settings(**changes)) is None
    monkeypatch.setattr(known, "version", lambda library: "0.1")
    assert known_network(settings()) is None


@pytest.mark.parametrize(
    ("layer", "unit"),
    [
        ("fc9", 0),
        ("fc8", 1000),
        ("fc8", "cinemas"),
        ("features.0", "cinema"),
        ("features.0", 64),
        ("features.99:in", 0),
    ],
)
def test_the_answer_is_that_of_the_network_itself(layer: str, unit: int | str) -> None:
    names = known_network(settings())
    assert names is not None
    with pytest.raises(MfvError) as early:
        names.check(layer, unit)
    model = make_model(["model=alexnet", "model.weights=none"])
    with pytest.raises(MfvError) as late:
        resolve_unit(model, layer, unit)
    assert str(early.value) == str(late.value)


def test_right_names_pass() -> None:
    names = known_network(settings())
    assert names is not None
    for layer, unit in [
        ("fc8", "cinema"),
        ("fc8", "n03032252"),
        ("features.0", 63),
        ("", "cinema"),
        ("prob", 3),
        ("fc8:in", 4095),
    ]:
        names.check(layer, unit)
