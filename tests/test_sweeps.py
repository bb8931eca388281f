"""Sweeps by each launcher: the same runs, failures told at the end wherever they happened, one store filled once."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from mfv import sweeps
from mfv.config import register
from mfv.errors import MfvError
from mfv.processes import taking_turns

ROOT = Path(__file__).resolve().parents[1]
SMALL = ["data.photos=[coffee,cat]", "data.scales=[0.8]", "facets=2", "render.iterations=2", "evaluation=none"]


@pytest.mark.parametrize("launch", ["joblib", "submitit", "ray"])
def test_a_sweep_is_the_same_wherever_its_jobs_run(launch: str, tmp_path: Path) -> None:
    pytest.importorskip(sweeps.LAUNCHERS[launch][0])
    command = [sys.executable, str(ROOT / "run.py"), "-m", *SMALL, f"launch={launch}", "unit=3,99999,4"]
    command += [f"hydra.sweep.dir={tmp_path}/sweep", f"store.root={tmp_path}/store", "machine.progress=false"]
    for _ in range(2):  # given again, what is done is done, and what failed fails once more
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
        output = done.stdout + done.stderr
        assert done.returncode == 1, output
        assert "1 of the sweep's jobs failed" in output, output
        assert "unit=99999" in output
        assert f"launch={launch}" not in output.partition("jobs failed")[2]  # what makes a job alone launches nothing
        for job, left in (("0", True), ("1", False), ("2", True)):
            assert (tmp_path / "sweep" / job / "gallery.html").exists() == left, output
    assert len(list((tmp_path / "store").glob("*/manifest.json"))) == 2  # the layer's, and the codes'
    assert list((tmp_path / "store").rglob("*.part")) == []


def test_a_killed_process_is_told_with_what_failed_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sweeps, "begun", [tmp_path])
    monkeypatch.setattr(sweeps, "failures", [])
    for number in (10, 9):
        sweeps.Job(tmp_path, number, tmp_path / "job").note_failure(f"python run.py unit={number}", "no such unit")
    with pytest.raises(SystemExit) as end:
        sweeps.report_killed(lambda sweep: f"python run.py -m hydra.sweep.dir={sweep}")
    assert end.value.code == 1
    said = capsys.readouterr().err
    assert "a job's process was killed" in said
    assert f"on behind it:\n  python run.py -m hydra.sweep.dir={tmp_path}\n" in said
    assert said.index("2 of the sweep's jobs failed") < said.index("unit=9\n    no such unit") < said.index("unit=10")


def test_a_failure_that_cannot_be_noted_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / sweeps.NOTES).touch()  # stands for a full disk
    monkeypatch.setattr(sweeps, "failures", [])
    job = sweeps.Job(tmp_path, 0, tmp_path / "job")
    monkeypatch.setattr(sweeps, "begun", [])
    with pytest.raises(OSError, match="exists"):
        job.note_failure("python run.py", "full")
    monkeypatch.setattr(sweeps, "begun", [tmp_path])
    job.note_failure("python run.py", "full")
    assert sweeps.failures == ["python run.py\n    full"]


def test_a_launcher_that_is_not_installed_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "_is_there", lambda module: False)
    with pytest.raises(MfvError, match=r'launch=ray needs .*pip install "mfv\[ray\]"'):
        sweeps.check_launcher(["-m", "unit=1,2", "launch=ray"])
    sweeps.check_launcher(["launch=here", "unit=1"])


def test_a_launcher_without_a_sweep_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "_is_there", lambda module: True)
    with pytest.raises(MfvError, match=r"launch=slurm is for the jobs of a sweep, .*put -m in front"):
        sweeps.check_launcher(["unit=1", "launch=slurm"])
    sweeps.check_launcher(["unit=1", "launch=slurm", "--multirun"])


@pytest.mark.parametrize(
    ("launch", "kind"), [("joblib", "Joblib"), ("submitit", "Local"), ("slurm", "Slurm"), ("ray", "Ray")]
)
def test_its_file_names_the_launcher(launch: str, kind: str) -> None:
    pytest.importorskip(sweeps.LAUNCHERS[launch][0])
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = compose("config", overrides=[f"launch={launch}"], return_hydra_config=True)
    assert kind in config.hydra.launcher._target_


def test_every_launcher_has_a_file() -> None:
    files = {path.stem for path in (ROOT / "conf" / "launch").glob("*.yaml")}
    assert files == {"here", *sweeps.LAUNCHERS}


def test_one_run_at_a_time_works_in_a_folder(tmp_path: Path) -> None:
    order: list[str] = []

    def second() -> None:
        with taking_turns(tmp_path):
            order.append("second")

    with taking_turns(tmp_path):
        other = threading.Thread(target=second)
        other.start()
        other.join(0.5)
        assert other.is_alive()  # it waits
        order.append("first")
    other.join(10)
    assert order == ["first", "second"]
