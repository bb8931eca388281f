"""What a run uses of the machine, and how long its stages take."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import torch

from mfv.models.acceleration import Acceleration
from mfv.progress import ticking

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Machine:
    """What a run uses of the machine.

    Attributes:
        accelerator: as Lightning's Trainer takes it: auto, cpu, gpu, mps …
        devices: how many; the facets are spread over them.
        num_nodes: how many machines.
        workers: processes that decode images; 0 decodes in the main one, "auto" as `collect` says.
        batch_size: images per forward pass of the collection.
        progress: whether to show bars.
        precision: of the network's passes while rendering: float32, bfloat16 or float16 (`Acceleration`).
        compile: whether to try `torch.compile` on them.

    """

    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    workers: int | str = "auto"
    batch_size: int = 32
    progress: bool = True
    precision: str = "float32"
    compile: bool = False

    @property
    def acceleration(self) -> Acceleration:
        """What may make the network's passes faster."""
        return Acceleration(self.precision, self.compile)

    @property
    def processes(self) -> int:
        """How many work on a stage together, on all machines: one for each device."""
        on_one = torch.accelerator.device_count() if self.devices == "auto" and self.device.type != "cpu" else 1
        return self.num_nodes * (int(self.devices) if str(self.devices).isdigit() else on_one)

    @property
    def device(self) -> torch.device:
        """Where what is not rendered or collected is computed."""
        known = torch.accelerator.current_accelerator() if self.accelerator != "cpu" else None
        return known if known is not None and torch.accelerator.is_available() else torch.device("cpu")


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
