"""Work for several threads: decoders and encoders of pictures let others run meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")


def processors() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(function: Callable[[Given], Made], items: Iterable[Given]) -> list[Made]:
    """Return what the function makes of each item, by a thread per processor."""
    with ThreadPoolExecutor(processors()) as pool:
        return list(pool.map(function, items))
