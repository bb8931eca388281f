"""Processes that a stage on several devices starts: copies of one with the libraries loaded, or new interpreters."""

from __future__ import annotations

import importlib
import multiprocessing
import statistics

from benchmarks.bench import Bench, Row, timed
from mfv import fork_server


def starts(bench: Bench) -> list[Row]:
    """Time a process that loads what a stage needs, both ways in turn."""
    if fork_server.START_METHOD != "forkserver":
        return [Row("starts", "a new interpreter", value=timed(lambda: started(copied=False)), unit="s")]
    fork_server.begin_loading()
    first = timed(lambda: started(copied=True))
    turns = [(timed(lambda: started(copied=False)), timed(lambda: started(copied=True))) for _ in range(bench.rounds)]
    new, copied = (statistics.median(each) for each in zip(*turns, strict=True))
    ratio = statistics.median(one / other for one, other in turns)
    return [
        Row("starts", "the first copy, after the libraries are loaded", value=first, unit="s"),
        Row("starts", "a copy", value=copied, unit="s"),
        Row("starts", "a new interpreter", ratio, "a copy", new, "s"),
    ]


def started(copied: bool) -> None:
    """Start a process, a copy or a new interpreter, and wait for its end."""
    if copied:
        process = multiprocessing.get_context("forkserver").Process(target=load)
    else:
        process = multiprocessing.get_context("spawn").Process(target=load)  # type: ignore[assignment]
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a process ended with status {process.exitcode}")


def load() -> None:
    """Load what a stage needs."""
    for name in fork_server.LOADED:
        importlib.import_module(name)
