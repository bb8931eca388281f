"""The processes that a stage on several devices starts: copies of one with the libraries loaded, or new interpreters."""

from __future__ import annotations

import importlib
import multiprocessing
import statistics

from benchmarks.bench import Bench, Row, timed
from mfv import copies


def starts(bench: Bench) -> list[Row]:
    """Time a process that loads what a stage needs, both ways in turn."""
    if copies.START_METHOD != "forkserver":
        return [Row("starts", "a new interpreter", value=timed(lambda: started("spawn")), unit="s")]
    copies.begin_loading()
    first = timed(lambda: started("forkserver"))
    turns = [(timed(lambda: started("spawn")), timed(lambda: started("forkserver"))) for _ in range(bench.rounds)]
    new, copied = (statistics.median(each) for each in zip(*turns, strict=True))
    ratio = statistics.median(one / other for one, other in turns)
    return [
        Row("starts", "the first copy, after the libraries are loaded", value=first, unit="s"),
        Row("starts", "a copy", value=copied, unit="s"),
        Row("starts", "a new interpreter", ratio, "a copy", new, "s"),
    ]


def started(method: str) -> None:
    """Start a process and wait for its end."""
    process = multiprocessing.get_context(method).Process(target=load)
    process.start()
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a process started by {method} ended with status {process.exitcode}")


def load() -> None:
    """Load what a stage needs."""
    for name in copies.LOADED:
        importlib.import_module(name)
