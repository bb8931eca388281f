"""The command line: `python run.py …`, or `mfv …` where it is installed."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported: see docs/performance.md

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from mfv import distributed, store_command
from mfv.commands import setting, shell_setting
from mfv.config import register
from mfv.errors import MfvError
from mfv.memory import keep_freed_memory
from mfv.overrides import check_choices, explained, no_name
from mfv.sweeps import Job, check_launcher, report_failures, report_killed
from mfv.version import __version__

BESIDE = (  # of several processes, what makes Hydra write nothing for those that are not the first
    "hydra.run.dir=.",
    "hydra.output_subdir=null",
    "hydra/job_logging=stdout",
)
FULL_ERRORS = "HYDRA_FULL_ERROR"
INTERRUPTED = 130  # exit status, as shells have it
WITH_VALUE = ("--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp", "--package", "-p", "--cfg", "-c")
NO_BARS = "machine.progress="  # which a command that is told need not say
QUIET = (f"{NO_BARS}false", "hydra.job_logging.root.level=WARNING")

logger = logging.getLogger("mfv")


def job(config: DictConfig) -> None:
    """Make one run; in a sweep, wherever its launcher brings it, a failure is noted and the other jobs go on."""
    if distributed.rank():
        logging.disable(logging.ERROR)  # the first process speaks; of what ends this one alone, this one
    context = HydraConfig.get()
    directory = Path(context.runtime.output_dir)
    sweep = Path(context.sweep.dir).absolute() if context.mode == RunMode.MULTIRUN else None
    overrides = [word for word in context.overrides.task if not word.startswith(("launch=", NO_BARS))]
    if distributed.rank() == 0 and sweep is None:
        distributed.meet()  # for this the others wait in `main`
    command = shlex.join(["python", "run.py", *overrides])
    of_sweep = Job(sweep, context.job.num, directory) if sweep else None
    try:
        check_choices(context.runtime.choices)
        keep_freed_memory()
        from mfv.pipeline import run  # here, so that --help and typing mistakes are answered at once

        run(config, directory, command, sweep)
    except MfvError as error:
        _fail(str(error), command, of_sweep)
    except KeyboardInterrupt as stop:
        folder = setting("hydra.sweep.dir", context.sweep.dir) if sweep else setting("hydra.run.dir", directory)
        logger.error("%s; the same command goes on from here, in the same directory:", str(stop) or "stopped")
        logger.error("  %s", _again(folder))
        sys.exit(INTERRUPTED)
    except Exception as error:
        if sweep is None:
            traceback.print_exception(error)
            sys.exit(1)
        logger.exception("the job failed")
        _fail(f"{type(error).__name__}: {error}", command, of_sweep)


def _again(folder: str) -> str:
    """Return the command that was given, with the directory that it was given or chose for itself."""
    key = folder.partition("=")[0]
    program = ["mfv"] if Path(sys.argv[0]).name == "mfv" else ["python", sys.argv[0]]
    words = [word for word in sys.argv[1:] if word not in QUIET and not word.startswith(f"{key}=")]
    quiet = ["--quiet"] if set(QUIET) <= set(sys.argv) else []
    return shlex.join([*program, *_options_first(words), *quiet, folder])


def _options_first(words: Sequence[str]) -> list[str]:
    """Return a command's words with its options (-m, --config-dir DIR) in front: between settings they end the list."""
    options, settings, left = [], [], list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("-"):
            settings.append(word)
            continue
        options.append(word)
        if word in WITH_VALUE and left:
            options.append(left.pop(0))
    return [*options, *settings]


def _fail(message: str, command: str, of_sweep: Job | None) -> None:
    logger.critical("error: %s", message)
    if of_sweep is None:
        sys.exit(1)
    of_sweep.note_failure(f"{command} {shell_setting('hydra.run.dir', of_sweep.directory)}", message)


def with_quiet(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with --quiet as what Hydra knows: no bars, and nothing logged but warnings and errors."""
    others = [argument for argument in arguments if argument != "--quiet"]
    return others if len(others) == len(arguments) else [*others, *QUIET]


def at_home(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the user's home in place of a "~": shells leave one behind a key with a dot."""
    return [
        re.sub("^([^=]+=)(~[^/]*)", lambda found: found[1] + os.path.expanduser(found[2]), argument)
        for argument in arguments
    ]


def main() -> None:
    """Run what the command line says; exit status 1 where a run, or a job of a sweep, failed."""
    try:
        _main()
    except KeyboardInterrupt:  # before a job has begun
        print("stopped", file=sys.stderr)
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # who reads what is printed, `head` say, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is still to be flushed
        sys.exit(1)


def _main() -> None:
    if sys.argv[1:2] == ["store"]:
        sys.exit(store_command.main(sys.argv[2:]))
    if "--version" in sys.argv[1:]:
        print(f"mfv {__version__}")
        return
    logging.raiseExceptions = False  # where the log's own file cannot be written, the terminal still has the words
    register()
    sys.argv[1:] = at_home(with_quiet(sys.argv[1:]))
    try:
        distributed.first(lambda: check_launcher(sys.argv[1:]))
    except MfvError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    if distributed.rank():
        sys.argv += BESIDE
        try:
            distributed.meet()
        except MfvError:  # the first process did not understand the command line, and said so
            sys.exit(1)
    try:
        with whole_errors() as ours, help_as_it_is():
            hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")(job)()
    except HydraException as error:
        if not ours:
            raise
        print(f"error: {explained(error, sys.argv[1:])}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:  # a job explains its own: this is the run's folder, which Hydra makes
        if not ours or isinstance(error, BrokenPipeError):
            raise
        print(f"error: {error.filename or 'the folder of the run'} cannot be written ({error.strerror}): give another "
              "folder, hydra.run.dir=… (of a sweep: hydra.sweep.dir=…)", file=sys.stderr)  # fmt: skip
        sys.exit(1)
    except BrokenProcessPool:  # of the launcher joblib
        if not ours:
            raise
        report_killed(lambda sweep: _again(setting("hydra.sweep.dir", sweep)))
    except ValueError as error:
        told = no_name(sys.argv[1:])
        if ours and told is None and {"--shell-completion", "-sc"} & {*sys.argv[1:]}:
            told = f"--shell-completion: {error}: --shell-completion install=bash"
        if not ours or told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(1)
    report_failures()


@contextmanager
def help_as_it_is() -> Iterator[None]:
    """Let Hydra's options have help that is no text until it is asked for, which Python 3.14 would check and refuse.

    Hydra 1.3.8, https://github.com/facebookresearch/hydra/issues/3121.
    """
    options = argparse._ActionsContainer
    check = getattr(options, "_check_help", None)  # from Python 3.14 on
    if check is None:
        yield
        return

    def of_texts(self: argparse._ActionsContainer, action: argparse.Action) -> None:
        if isinstance(action.help, str):
            check(self, action)

    options._check_help = of_texts  # type: ignore[attr-defined]
    try:
        yield
    finally:
        options._check_help = check  # type: ignore[attr-defined]


@contextmanager
def whole_errors() -> Iterator[bool]:
    """Have Hydra raise its errors rather than print them; gives whether it is us who want that, not the user."""
    ours = FULL_ERRORS not in os.environ
    os.environ.setdefault(FULL_ERRORS, "1")
    try:
        yield ours
    finally:
        if ours:
            del os.environ[FULL_ERRORS]


if __name__ == "__main__":
    main()
