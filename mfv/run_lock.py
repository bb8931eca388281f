"""One process at a time makes a run: its folder is locked while it does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mfv import distributed
from mfv.errors import MfvError

LOCK = "in_use.lock"


@contextmanager
def alone_in(directory: Path, setting: str) -> Iterator[None]:
    """Keep a run's folder, within the block, to this process and those that were started together with it.

    The lock ends with its process, however that ends, so that a killed run can go on at once; its file is removed at
    the end. In a folder that cannot be written, or on a file system without locks, there is none.

    Args:
        directory: of the run; made where it is not there.
        setting: what gives the folder, for the message.

    Raises:
        MfvError: another process is at work there.

    """
    lock = FileLock(directory / LOCK)

    def enter() -> None:
        directory.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            apart = " (in a sweep, a hydra.sweep.subdir that tells its jobs apart)" if "hydra" in setting else ""
            raise MfvError(
                f"{directory} is being made by another process: wait for its end, or choose another {setting}{apart}"
            ) from error
        except (OSError, NotImplementedError):
            pass

    distributed.first(enter)
    try:
        yield
    finally:
        if lock.is_locked:
            with suppress(OSError):  # an open file, of some systems
                (directory / LOCK).unlink()
            lock.release()
