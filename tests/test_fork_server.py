"""Processes that are copies of one with the libraries loaded: what they are given, and how they end."""

import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from mfv import fork_server, memory
from mfv.errors import MfvError
from mfv.fork_server import LARGE, Surroundings, asks_for_several, few_open_files
from mfv.processes import ShardedStrategy, started_processes

copying = pytest.mark.skipif(fork_server.START_METHOD != "forkserver", reason="this system starts new interpreters")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(autouse=True)
def loaded() -> None:
    fork_server.begin_loading()


def write(given: object, path: Path) -> None:
    """Write down what has come, in another process."""
    torch.save((given, torch.multiprocessing.get_sharing_strategy(), dict(os.environ)), path)


def sent(given: object, path: Path) -> tuple[object, str, dict[str, str]]:
    process = multiprocessing.get_context(fork_server.START_METHOD).Process(target=write, args=(given, path))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    return torch.load(path, weights_only=False)


@copying
def test_hundreds_of_tensors_arrive_as_they_are(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    large = torch.rand(3, LARGE // 4, generator=generator)
    given = {
        "many": [torch.rand(3, 2, generator=generator) for _ in range(600)],
        "views": list(large.view(-1)[:900].unbind()),
        "last channels": torch.rand(2, 3, 5, 7, generator=generator).contiguous(memory_format=torch.channels_last),
        "half": torch.rand(4, generator=generator).bfloat16(),
        "large": large,
        "parameter": nn.Parameter(torch.rand(3, generator=generator), requires_grad=False),
        "learned": nn.Parameter(torch.rand(3, generator=generator)),
        "tied": nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2)),
        "empty": torch.empty(0, 3),
        "sparse": torch.eye(3).to_sparse(),
    }
    given["tied"][1].weight = given["tied"][0].weight
    before = torch.multiprocessing.get_sharing_strategy()
    with few_open_files():
        found, _, _ = sent(given, tmp_path / "found.pt")
    assert torch.multiprocessing.get_sharing_strategy() == before
    for name, value in given.items():
        if isinstance(value, list):
            assert all(torch.equal(one, other) for one, other in zip(value, found[name], strict=True))
        elif isinstance(value, nn.Module):
            assert found[name][1].weight is found[name][0].weight
            assert torch.equal(value[0].weight, found[name][0].weight)
        else:
            assert torch.equal(value.to_dense(), found[name].to_dense()), name
            assert type(value) is type(found[name])
            assert value.requires_grad == found[name].requires_grad
            if not value.is_sparse:
                assert value.stride() == found[name].stride()


@copying
def test_more_large_tensors_than_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server, "LARGE", 16)
    given = [torch.full((9,), float(number)) for number in range(400)]
    with few_open_files():
        for _ in range(2):  # of several processes each gets all
            found, _, _ = sent(given, tmp_path / "found.pt")
            assert all(torch.equal(one, other) for one, other in zip(given, found, strict=True))
    assert sum(tensor.is_shared() for tensor in given) == fork_server.MOST_FILES


@copying
def test_the_environment_is_that_of_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFV_TEST_NEW", "here")
    monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
    _, _, environment = sent(Surroundings(), tmp_path / "found.pt")
    assert environment == dict(os.environ)


def write_faults(given: object, path: Path) -> None:
    """Write down how many pages of memory were asked for by blocks that had been freed before."""
    import resource  # not on every system

    for _ in range(20):  # until each block has found its place
        torch.ones(1 << 23)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        torch.ones(1 << 23)
    torch.save(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, path)


@copying
@pytest.mark.skipif(sys.platform != "linux", reason="glibc's setting")
@pytest.mark.parametrize("kept", [False, True])
def test_freed_memory_is_kept_where_it_is_here(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_kept", kept)
    process = multiprocessing.get_context(fork_server.START_METHOD).Process(
        target=write_faults, args=(Surroundings(), tmp_path / "found.pt")
    )
    process.start()
    process.join(60)
    assert (torch.load(tmp_path / "found.pt") < 1000) == kept  # of 32,768 pages


@copying
def test_a_stage_takes_its_environment_along() -> None:
    assert isinstance(ShardedStrategy(fork_server.START_METHOD).surroundings, Surroundings)


def wait_for(path: Path) -> None:
    """Say who this is, and wait, unless the process that started this one has ended."""
    fork_server.end_with_parent()
    path.write_text(str(os.getpid()))
    time.sleep(120)


def start_another(path: Path) -> None:
    multiprocessing.get_context("fork").Process(target=wait_for, args=(path,)).start()
    time.sleep(120)


def runs(process: int) -> bool:
    """Say whether a process is there and not dead yet, as Linux has it."""
    status = Path(f"/proc/{process}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@copying
def test_what_a_killed_process_has_started_ends(tmp_path: Path) -> None:
    who = tmp_path / "who"
    middle = multiprocessing.get_context(fork_server.START_METHOD).Process(target=start_another, args=(who,))
    middle.start()
    deadline = time.monotonic() + 60
    while not (who.exists() and who.read_text()) and time.monotonic() < deadline:
        time.sleep(0.01)
    last = int(who.read_text())
    assert runs(last)
    middle.kill()
    while runs(last) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not runs(last)


@copying
def test_what_a_process_cannot_import_is_told(tmp_path: Path) -> None:
    def local() -> None: ...

    with pytest.raises(MfvError, match=r"local.*must stand in a file that can be imported"), started_processes():
        multiprocessing.get_context(fork_server.START_METHOD).Process(target=local).start()
    with pytest.raises(AttributeError, match="else"), started_processes():  # what has nothing to do with it stays
        raise AttributeError("something else")


def test_what_is_loaded_asks_for_no_gpu() -> None:
    """Once a process has asked CUDA for its devices, its copies cannot use them."""
    code = """
import importlib
import torch
from mfv.fork_server import LOADED

asked = []
for name in ("_cuda_getDeviceCount", "_cuda_init"):
    setattr(torch._C, name, lambda name=name: asked.append(name) or 0)
for name in LOADED:
    importlib.import_module(name)
print(asked)
torch.cuda.device_count(), torch.cuda.is_available()
print(asked)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loading, then = done.stdout.split("\n")[:2]
    assert loading == "[]"
    assert torch.version.cuda is None or then != "[]"  # it would have been noticed


@pytest.mark.parametrize(
    ("devices", "nodes", "several"), [(1, 1, False), ("auto", 1, False), (2, 1, True), ("3", 1, True), (1, 2, True)]
)
def test_several_processes_are_foreseen(devices: object, nodes: int, several: bool) -> None:
    assert asks_for_several(devices, nodes) == several
