"""Work for several threads: decoders and encoders of pictures let others run meanwhile."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[Given], Made], items: Iterable[Given]) -> list[Made]:
    """Return what the function makes of each item, by a thread per processor, of which the calling one is the first.

    A thread takes the next item as soon as it is done with one: handing out each by a queue of tasks would have them
    wait for one another longer than a photograph takes (docs/performance.md). What the function raises is raised, of
    several the first item's, and what none has begun by then is left.
    """
    waiting = deque(enumerate(items))
    made: list = [None] * len(waiting)
    failed: dict[int, BaseException] = {}

    def work() -> None:
        while waiting:
            try:
                place, item = waiting.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                made[place] = function(item)
            except BaseException as error:
                failed[place] = error
                waiting.clear()

    others = min(processors(), len(waiting)) - 1
    if others < 1:
        work()
    else:
        with ThreadPoolExecutor(others) as pool:
            try:
                for _ in range(others):
                    pool.submit(work)
                work()
            except BaseException:  # an interrupt between two items
                waiting.clear()
                raise
    if failed:
        raise failed[min(failed)]
    return made
