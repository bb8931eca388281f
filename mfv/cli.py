"""The command line: `python run.py …`, or `mfv …` where it is installed."""

from __future__ import annotations

import logging
import os
import shlex
import sys
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported: see docs/performance.md

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from mfv import store_command
from mfv.config import register
from mfv.errors import MfvError
from mfv.memory import keep_freed_memory

logger = logging.getLogger("mfv")
failures: list[str] = []  # of the jobs of a sweep


def job(config: DictConfig) -> None:
    """Make one run; in a sweep a failure is noted and the next job goes on."""
    from mfv.pipeline import run  # here, so that --help and typing mistakes are answered at once

    context = HydraConfig.get()
    directory = Path(context.runtime.output_dir)
    overrides = list(context.overrides.task)
    sweep = context.mode == RunMode.MULTIRUN
    command = shlex.join(["python", "run.py", *overrides])
    group = Path(context.sweep.dir).name if sweep else None
    try:
        run(config, directory, command, group)
    except MfvError as error:
        _fail(str(error), command, sweep)
    except KeyboardInterrupt:
        again = shlex.join(["python", "run.py", *overrides, f"hydra.run.dir={directory}"])
        logger.error("stopped; to go on from here:\n  %s", again)
        sys.exit(130)
    except Exception as error:
        if not sweep:
            raise
        logger.exception("the job failed")
        _fail(f"{type(error).__name__}: {error}", command, sweep)


def _fail(message: str, command: str, sweep: bool) -> None:
    logger.error("error: %s", message)
    if not sweep:
        sys.exit(1)
    failures.append(f"{command}\n    {message}")


def main() -> None:
    """Run what the command line says; exit status 1 where a run, or a job of a sweep, failed."""
    if sys.argv[1:2] == ["store"]:
        sys.exit(store_command.main(sys.argv[2:]))
    register()
    keep_freed_memory()
    failures.clear()
    hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(job)()
    if failures:
        print(f"\n{len(failures)} of the sweep's jobs failed:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
