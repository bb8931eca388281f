"""A sweep's jobs, wherever they run: where a launcher comes from, and what became of the jobs that failed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mfv import distributed
from mfv.errors import MfvError

NOTE = "failure.txt"  # in the directory of a job that failed
LAUNCHERS = {  # of conf/launch: the module that Hydra must find, and the extra that brings it
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
    "slurm": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
    "ray": ("hydra_plugins.hydra_ray_launcher", "ray"),
}
failures: list[str] = []  # of the sweep that has just ended


def check_launcher(arguments: Sequence[str]) -> None:
    """Raise `MfvError` where a launcher's package is missing or it gets no sweep, or several processes get one."""
    sweep = bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & {*arguments})
    if distributed.count() > 1 and sweep:
        raise MfvError(
            f"a sweep was given to {distributed.count()} processes that were started together: give it to one, and its "
            "jobs to a launcher (launch=slurm); several processes share one run, of many units too (unit=0-9)"
        )
    for name in (argument.partition("=")[2] for argument in arguments if argument.startswith("launch=")):
        module, extra = LAUNCHERS.get(name, ("", ""))
        if module and not _is_there(module):
            raise MfvError(f'launch={name} needs a package that is not installed: pip install "mfv[{extra}]"')
        if module and not sweep:
            raise MfvError(f"launch={name} is for the jobs of a sweep, be it a single one: put -m in front")


def note_failure(directory: Path, command: str, message: str) -> None:
    """Leave in a job's directory that it failed, for the end of the sweep, which may be in another process.

    Args:
        directory: the job's own.
        command: what makes this job alone, in the same directory.
        message: why it failed.

    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / NOTE).write_text(f"{command}\n    {message}\n", encoding="utf-8")


class SweepEnd(Callback):
    """Hydra's callback that gathers the failures of a sweep's jobs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget what failed when the same sweep was given before."""
        failures.clear()
        for note in Path(config.hydra.sweep.dir).rglob(NOTE):
            note.unlink()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read what the jobs left."""
        notes = sorted(Path(config.hydra.sweep.dir).rglob(NOTE))
        failures.extend(note.read_text(encoding="utf-8").rstrip() for note in notes)


def report_failures() -> None:
    """Print the failures of a sweep and end with status 1, if there are any."""
    if failures:
        print(f"\n{len(failures)} of the sweep's jobs failed:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure}", file=sys.stderr)
        sys.exit(1)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the folder that it would be in
        return False
