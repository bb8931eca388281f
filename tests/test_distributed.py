"""Processes that torchrun or SLURM started together: one run, the same results, each unit done once, one end."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import ROOT, SCRIPT, Command

from mfv import distributed
from mfv.errors import MfvError

SMALL = [
    "data.photos=[coffee,cat,rocket]", "data.scales=[0.8]", "facets=2", "layer=features.16", "render.iterations=3",
    "evaluation=none", "machine.accelerator=cpu", "machine.progress=false", "discovery._target_=counting.Counting",
]  # fmt: skip
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
COUNTING = """
import os
from pathlib import Path

from mfv import distributed, jobs
from mfv.discovery import TSNEKMeans
from mfv.errors import MfvError


def note(what):
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(f"{what} by {distributed.rank()}\\n")


def asked(what):
    return os.environ.get(what) == str(distributed.rank())


class Counting(TSNEKMeans):
    def __call__(self, codes, facets, seed):
        note("found")
        if asked("KILLED"):
            os.kill(os.getpid(), 9)
        if asked("REFUSED"):
            raise MfvError("no facets here")
        return super().__call__(codes, facets, seed)


def counted(*arguments, write=jobs.write_report):
    note("reported")
    return write(*arguments)


jobs.write_report = counted
"""


def counting(place: Path) -> dict[str, str]:
    """Put the counting discovery into a folder, and return the variables that it needs; one thread for each process."""
    (place / "counting.py").write_text(COUNTING)
    path = os.pathsep.join([str(place), str(ROOT)])
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "NOTES": str(place / "notes")}


def start(arguments: list[str], place: Path, **variables: str) -> Command:
    return Command([*arguments, *SMALL, "store.root=store"], place, **counting(place), **variables)


def end(process: Command, seconds: float = 300) -> tuple[int, str]:
    output, _ = process.communicate(timeout=seconds)
    return process.wait(), output


def start_as_slurm(place: Path, *arguments: str, **variables: str) -> list[Command]:
    """Start two processes as srun would, with the variables that it sets for each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "4711", "SLURM_JOB_NAME": "mfv", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    return [
        start(
            ["machine.devices=2", *arguments], place,
            SLURM_PROCID=str(task), SLURM_LOCALID=str(task), **common, **variables,
        )
        for task in (0, 1)
    ]  # fmt: skip


def found(directory: Path) -> tuple[dict, bytes]:
    """Return a unit's facets.json without the timing, and its tensors."""
    document = json.loads((directory / "facets.json").read_text())
    document.pop("timing")
    return document, (directory / "facets.safetensors").read_bytes()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four units by one process."""
    place = tmp_path_factory.mktemp("alone")
    code, output = end(start(["unit=3-6", "hydra.run.dir=run"], place))
    assert code == 0, output
    return place / "run" / "features.16"


def test_two_processes_share_a_job_of_many_units(alone: Path, tmp_path: Path) -> None:
    command = [*TORCHRUN, "unit=3-6", "machine.devices=2", *SMALL, "store.root=store"]
    environment = {**os.environ, **counting(tmp_path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    (run,) = (tmp_path / "outputs").glob("*/*")  # one folder, though each process had its own time
    for unit in range(3, 7):
        folder = f"unit_{unit:04d}"
        assert found(run / "features.16" / folder) == found(alone / folder)
        assert (run / "features.16" / folder / "gallery.html").exists()
        assert output.count(f"unit {unit}: 2 facets, gallery") == 1
    notes = sorted((tmp_path / "notes").read_text().splitlines())
    assert notes == ["found by 0"] * 2 + ["found by 1"] * 2 + ["reported by 0"] * 2 + ["reported by 1"] * 2
    assert output.count("4 units of features.16") == output.count("index  ") == 1
    left = {path.name for path in tmp_path.iterdir()} - {"__pycache__"}
    assert left == {"counting.py", "notes", "outputs", "store"}


def test_a_killed_task_ends_the_other_and_one_alone_goes_on(alone: Path, tmp_path: Path) -> None:
    asked = ("unit=3", "hydra.run.dir=run")
    first, second = start_as_slurm(tmp_path, *asked, KILLED="0")
    killed, other = end(first), end(second, 60)
    assert killed[0] == -signal.SIGKILL
    assert other[0] == 1
    assert other[1].startswith("error: another process of this run has ended")
    assert len(other[1].splitlines()) == 1
    code, output = end(start([*asked], tmp_path))
    assert code == 0, output
    assert found(tmp_path / "run") == found(alone / "unit_0003")


def test_slurm_tasks_end_and_go_on_together(alone: Path, tmp_path: Path) -> None:
    asked = ("unit=3", "hydra.run.dir=run")
    first, other = (end(process) for process in start_as_slurm(tmp_path, *asked, REFUSED="0"))
    assert (first[0], other) == (1, (1, ""))  # one message
    assert first[1].endswith("error: no facets here\n")
    (tmp_path / "notes").unlink()
    first, other = (end(process) for process in start_as_slurm(tmp_path, *asked))
    assert (first[0], other) == (0, (0, "")), first[1]
    assert found(tmp_path / "run") == found(alone / "unit_0003")
    assert (tmp_path / "notes").read_text().splitlines() == ["found by 0", "reported by 0"]
    assert first[1].count("gallery  ") == 1


def test_of_a_view_only_what_it_shows_goes_to_the_others() -> None:
    whole, known = torch.rand(1000, 100), torch.nn.Linear(3, 3)
    sent = distributed._packed(distributed._Outcome((whole[3], known)), [known])
    assert len(sent) < 2000
    view, same = distributed._unpacked(sent, [known]).value
    assert torch.equal(view, whole[3])
    assert same is known


def test_processes_and_devices_must_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    distributed.check("auto", 1)
    with pytest.raises(MfvError, match="torchrun or srun"):
        distributed.check(1, 2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    assert (distributed.count(), distributed.rank()) == (4, 3)
    distributed.check(2, 2)
    with pytest.raises(MfvError, match=r"4 processes .*machine\.devices=1 .*makes 1"):
        distributed.check(1, 1)
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert distributed.count() == 1  # in a script that no srun started
    monkeypatch.setenv("SLURM_PROCID", "1")
    assert (distributed.count(), distributed.rank()) == (2, 1)
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert (distributed.count(), distributed.rank()) == (1, 0)
