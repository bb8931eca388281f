"""How long a run's stages take."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from mfv.progress import ticking

logger = logging.getLogger("mfv")


class Timer:
    """Seconds per stage.

    Args:
        level: at which it is logged that a stage begins.
        shown: whether a line in the terminal says so instead, and how long it takes.

    """

    def __init__(self, level: int = logging.INFO, shown: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self.level, self.shown = level, shown

    @contextmanager
    def __call__(self, stage: str, has_bar: bool = False) -> Iterator[None]:
        """Count the seconds of the block towards a stage, and say that it begins, unless it has a bar of its own."""
        if not self.shown:
            logger.log(self.level, "%s …", stage)
        begun = time.perf_counter()
        with ticking(stage) if self.shown and not has_bar else nullcontext():
            yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun
