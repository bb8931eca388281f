"""Several processes that each do their own share of a stage's work."""

from __future__ import annotations

import logging
import pickle
import re
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock, Timeout
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.strategies.launchers import _MultiProcessingLauncher
from pytorch_lightning.utilities.exceptions import MisconfigurationException
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from mfv import distributed, fork_server
from mfv.errors import MfvError
from mfv.progress import silence_lightning
from mfv.run_lock import LOCK

IMPORTABLE = (
    "networks, images and methods of your own must stand in a file that can be imported, not in a notebook's cell, and "
    "what a script does under if __name__ == '__main__': — or take a single process (devices=1)"
)

logger = logging.getLogger("mfv")


class ShardedStrategy(DDPStrategy):
    """Processes that each work on their own images.

    Plain data parallelism would average the processes' gradients, which belong to different
    images, without a word. This one starts the processes and wraps nothing.
    """

    def __init__(self, start_method: Literal["popen", "spawn", "forkserver"]):
        super().__init__(start_method=start_method)
        self.surroundings = fork_server.Surroundings()

    def _configure_launcher(self) -> None:
        super()._configure_launcher()
        if isinstance(self._launcher, _MultiProcessingLauncher):
            self._launcher = _Launcher(self, start_method=self._launcher._start_method)

    def setup_environment(self) -> None:
        """Join the other processes without a word."""
        fork_server.end_with_parent()
        silence_lightning()
        super().setup_environment()

    def configure_ddp(self) -> None:
        """Leave the module as it is."""

    def on_exception(self, exception: BaseException) -> None:
        """End the processes that were started; what they have stored is whole."""
        super().on_exception(exception)
        if self.launcher is not None:
            self.launcher.kill(signal.SIGKILL)


class _Launcher(_MultiProcessingLauncher):
    """Lightning's, which in notebooks wants processes that copy the notebook's own: these are given all they need."""

    @property
    def is_interactive_compatible(self) -> bool:
        return True


def strategy(devices: int | str, num_nodes: int, accelerator: str = "auto") -> ShardedStrategy | str:
    """Return Lightning's strategy for so many processes: "auto" for a single one.

    It starts the others itself, unless torchrun or SLURM did.
    """
    by_itself = devices == "auto" and accelerator != "cpu" and torch.cuda.device_count() > 1
    if not (by_itself or fork_server.asks_for_several(devices, num_nodes)):
        return "auto"
    if distributed.count() > 1:
        return ShardedStrategy("popen")
    fork_server.begin_loading()
    return ShardedStrategy(fork_server.START_METHOD)


def stage_trainer(
    directory: str | Path,
    accelerator: str,
    devices: int | str,
    num_nodes: int,
    callbacks: Sequence[Callback],
    **settings: Any,
) -> Trainer:
    """Return Lightning's trainer of a stage: each process does its own share; nothing is shown or kept but by us.

    Raises:
        MfvError: the machine has no such accelerator, or fewer devices.

    """
    try:
        return Trainer(
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=strategy(devices, num_nodes, accelerator),
            use_distributed_sampler=False,
            callbacks=list(callbacks),
            default_root_dir=directory,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=False,
            **settings,
        )
    except (MisconfigurationException, ValueError) as error:
        reason = str(error).strip().rstrip(".!").replace("\n", " ")
        raise MfvError(
            f"machine.accelerator={accelerator} with machine.devices={devices}: {reason}; auto takes what there is, "
            "and cpu is everywhere"
        ) from error


@contextmanager
def taking_turns(directory: Path) -> Iterator[None]:
    """Let one run at a time work in a folder; another one, of the same sweep say, waits, and finds what it leaves.

    The lock ends with its process, however that ends. Processes that torchrun or SLURM started together go in together:
    the first one holds the lock.
    """
    lock = FileLock(directory / LOCK)

    def enter() -> None:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            logger.info("another run is at work in %s: waiting for what it leaves", directory)
            lock.acquire()
        except OSError:  # a folder that cannot be written, or no locks: what is to be written there says so
            pass

    distributed.first(enter)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def started_processes() -> Iterator[None]:
    """Let a trainer start processes; what ended one is an `MfvError`: its message, or that it was killed, no traceback.

    The other processes are ended too, at once; where torchrun or SLURM started them, it does so.
    """
    try:
        with fork_server.few_open_files(), distributed.closed_connections_explained():
            yield
    except (BrokenPipeError, ConnectionResetError, EOFError) as error:
        raise MfvError(f"a process ended while it was started, and says why above: {IMPORTABLE}") from error
    except (pickle.PicklingError, AttributeError) as error:
        if "pickle" not in str(error):
            raise
        raise MfvError(f"{error}: {IMPORTABLE}") from error
    except ProcessExitedException as error:
        how = f"was killed ({error.signal_name})" if error.signal_name else f"ended with status {error.exit_code}"
        reason = ": usually the system does so for want of memory" if error.signal_name == "SIGKILL" else ""
        if not error.signal_name:
            reason = f", and says why above (where it could not even start: {IMPORTABLE})"
        raise MfvError(
            f"process {error.error_index} of those on this machine {how}{reason}. What is finished is kept: the same "
            "command, with the same hydra.run.dir, goes on behind it; fewer processes (machine.devices) or images at "
            "once (render.batch_size, machine.batch_size) need less memory"
        ) from error
    except ProcessRaisedException as error:
        found = re.search(r"^mfv\.\S*: ((?:.|\n)*)", str(error), re.MULTILINE)
        if found is None:
            raise
        raise MfvError(found[1].strip()) from error
