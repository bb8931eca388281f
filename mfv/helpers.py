"""Processes that do, beside this one, what needs no network: cluster codes, encode pictures."""

from __future__ import annotations

import io
import logging
import multiprocessing
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from logging.handlers import QueueHandler
from types import FunctionType, ModuleType, TracebackType
from typing import Any, TypeVar

from mfv import fork_server
from mfv.packing import reduced

T = TypeVar("T")

UNSENT = (pickle.PicklingError, AttributeError, TypeError)  # what cannot go from one process to another

logger = logging.getLogger("mfv")


class Helpers:
    """So many processes that take work in turn; they end with the block.

    Each is a copy of one that has the libraries loaded (`mfv.fork_server`). What they log is logged here, when their
    result is asked for. Work that cannot go there, or whose helper ended, is done here: nothing is lost.

    Args:
        count: how many; with none, as where processes cannot be copied, all is done here.

    """

    def __init__(self, count: int = 0):
        able = fork_server.START_METHOD == "forkserver" and not multiprocessing.current_process().daemon
        self.count = count if able else 0
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Helpers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._pool is None:
            return
        if error is not None:  # what they have stored is whole
            for process in list((getattr(self._pool, "_processes", None) or {}).values()):
                process.kill()
        self._pool.shutdown(cancel_futures=True)

    def begin(self, function: Callable[..., T], *given: Any) -> Callable[[], T]:
        """Have work done, and return what waits for its result; without helpers, what does it then.

        Args:
            function: one that can be imported, and changes nothing here.
            *given: to it, by value.

        """
        here = partial(function, *given)
        if not self.count:
            return here
        try:
            sent = _packed((function, given))
        except UNSENT as error:  # a method from a notebook's cell, say
            logger.debug("%s is done here: %s", function.__name__, error)
            return here
        try:
            with _no_program():
                pending = self._started().submit(_work, sent)
        except BrokenProcessPool:
            return here
        except KeyboardInterrupt:  # while it was waited for a copy, which would find nobody here
            fork_server.end()
            raise

        def result() -> T:
            try:
                answer = pickle.loads(pending.result())
            except BrokenProcessPool:
                logger.warning("a process that helped has ended, usually for want of memory: its work is done here")
                self.count = 0
                return here()
            if answer is None:
                logger.debug("%s is done here: it cannot go there, or its result not come back", function.__name__)
                return here()
            value, records = answer
            for record in records:
                logger.handle(record)
            return value

        return result

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            surroundings, level = fork_server.Surroundings(), logger.getEffectiveLevel()
            self._pool = ProcessPoolExecutor(
                self.count, multiprocessing.get_context("forkserver"), _get_ready, (surroundings, level)
            )
        return self._pool


class _Records(QueueHandler):
    """Keeps what is logged, as text."""

    def enqueue(self, record: logging.LogRecord) -> None:
        self.queue.append(record)  # type: ignore[attr-defined]


class _Pickler(pickle.Pickler):
    """Writes of a tensor what it shows, not all that it is a view of; of what another process cannot find, nothing."""

    def reducer_override(self, each: object) -> Any:
        if isinstance(each, type | FunctionType) and each.__module__ == "__main__":  # a notebook's cell, or a script
            raise pickle.PicklingError(f"{each.__qualname__} stands in no module")
        return reduced(each)


def _packed(work: object) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(work)
    return buffer.getvalue()


def _get_ready(surroundings: fork_server.Surroundings, level: int) -> None:
    """Prepare a helper: it ends with the process that it helps, which alone answers an interrupt."""
    fork_server.end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logger.setLevel(level)


def _work(sent: bytes) -> bytes:
    """Do some work in a helper; return its result with what was logged meanwhile, packed; None if it cannot be sent."""
    try:
        function, given = pickle.loads(sent)
    except (*UNSENT, ImportError):
        return _packed(None)
    records: list[logging.LogRecord] = []
    handler = _Records(records)  # type: ignore[arg-type]
    logger.addHandler(handler)
    try:
        value = function(*given)
    finally:
        logger.removeHandler(handler)
    try:
        return _packed((value, records))
    except UNSENT:
        return _packed(None)


@contextmanager
def _no_program() -> Iterator[None]:
    """Start processes that do not run this one's program again, as they would to know what stands in it."""
    program, sys.modules["__main__"] = sys.modules["__main__"], ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = program
