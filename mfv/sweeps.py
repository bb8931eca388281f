"""A sweep's jobs, wherever they run: where a launcher comes from, and what became of the jobs that failed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mfv import distributed
from mfv.errors import MfvError

NOTES = ".failures"  # in a sweep's folder: a file for each job that failed, by its number
LAUNCHERS = {  # of conf/launch: the module that Hydra must find, and the extra that brings it
    "joblib": ("hydra_plugins.hydra_joblib_launcher", "joblib"),
    "submitit": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
    "slurm": ("hydra_plugins.hydra_submitit_launcher", "submitit"),
    "ray": ("hydra_plugins.hydra_ray_launcher", "ray"),
}
failures: list[str] = []  # of the sweep that has just ended
begun: list[Path] = []  # its folder


def check_launcher(arguments: Sequence[str]) -> None:
    """Raise `MfvError` where what is said of a sweep does not fit together, or its launcher's package is missing."""
    sweep = bool({"-m", "--multirun", "hydra.mode=MULTIRUN"} & {*arguments})
    if distributed.count() > 1 and sweep:
        raise MfvError(
            f"a sweep was given to {distributed.count()} processes that were started together: give it to one, and its "
            "jobs to a launcher (launch=slurm); several processes share one run, of many units too (unit=0-9)"
        )
    folder = next((argument for argument in arguments if argument.startswith("hydra.run.dir=")), None)
    if sweep and folder:
        raise MfvError(f"{folder} is of a single run: the folder of a sweep's jobs is hydra.sweep.dir=…")
    for name in (argument.partition("=")[2] for argument in arguments if argument.startswith("launch=")):
        module, extra = LAUNCHERS.get(name, ("", ""))
        if module and not _is_there(module):
            raise MfvError(f'launch={name} needs a package that is not installed: pip install "mfv[{extra}]"')
        if module and not sweep:
            raise MfvError(f"launch={name} is for the jobs of a sweep, be it a single one: put -m in front")


@dataclass(frozen=True)
class Job:
    """One of a sweep's jobs."""

    sweep: Path  # the sweep's folder
    number: int  # in the sweep
    directory: Path  # the job's own

    def note_failure(self, command: str, message: str) -> None:
        """Leave in the sweep's folder that the job failed, for the end of the sweep, which may be in another process.

        Args:
            command: what makes this job alone, in the same directory.
            message: why it failed.

        """
        note = f"{command}\n    {message}"
        try:
            (self.sweep / NOTES).mkdir(parents=True, exist_ok=True)
            (self.sweep / NOTES / f"{self.number:06d}.txt").write_text(note + "\n", encoding="utf-8")
        except OSError:  # a full disk, which may be what the job failed of
            if not begun:  # the sweep is another process's
                raise
            failures.append(note)


def noted_failures(sweep: Path) -> list[str]:
    """Return what the jobs of a sweep left, in their order."""
    return [note.read_text(encoding="utf-8").rstrip() for note in _notes(sweep)]


def _notes(sweep: Path) -> list[Path]:
    return sorted((sweep / NOTES).glob("*.txt"))


class SweepEnd(Callback):
    """Hydra's callback that gathers the failures of a sweep's jobs."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Forget what failed when the same sweep was given before."""
        failures.clear()
        sweep = Path(config.hydra.sweep.dir)
        begun[:] = [sweep]
        for note in _notes(sweep):
            note.unlink()
        with suppress(OSError):
            (sweep / NOTES).rmdir()

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Read what the jobs left."""
        failures.extend(noted_failures(Path(config.hydra.sweep.dir)))


def report_failures() -> None:
    """Print the failures of a sweep and end with status 1, if there are any."""
    if failures:
        print(f"\n{len(failures)} of the sweep's jobs failed:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure}", file=sys.stderr)
        sys.exit(1)


def report_killed(again: Callable[[Path], str]) -> NoReturn:
    """Print that a job's process was killed, with which the sweep ended, and the failures so far; end with status 1.

    Args:
        again: gives the command of the sweep for its folder.

    """
    (sweep,) = begun
    failures.extend(noted_failures(sweep))
    print(
        "error: a job's process was killed, usually by the system for want of memory, and the sweep ended with it. "
        "Fewer jobs at a time need less (hydra.launcher.n_jobs=1); what is finished is kept, and the same sweep goes "
        f"on behind it:\n  {again(sweep)}",
        file=sys.stderr,
    )
    report_failures()
    sys.exit(1)


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the folder that it would be in
        return False
