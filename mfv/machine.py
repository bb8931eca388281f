"""What a run uses of the machine. PyTorch is loaded when it is asked, so that a mistake is answered at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mfv import distributed
from mfv.errors import check_count
from mfv.models.acceleration import Acceleration
from mfv.threads import processors

if TYPE_CHECKING:
    import torch

AUTO = "auto"
MOST_HELPERS = 4


@dataclass(frozen=True)
class Machine:
    """What a run uses of the machine.

    Attributes:
        accelerator: as Lightning's Trainer takes it: auto, cpu, gpu, mps …
        devices: how many, or "auto" for all; the facets are spread over them.
        num_nodes: how many machines.
        workers: processes that decode images; 0 decodes in the main one, "auto" as `collect` says.
        helpers: processes that, in a job of many units, cluster codes and encode pictures beside the main one; "auto"
            is none on a CPU, else half of a device's share of the processors, up to 4.
        batch_size: images per forward pass of the collection.
        progress: whether to show bars.
        precision: of the network's passes while rendering: float32, bfloat16 or float16 (`Acceleration`).
        compile: whether to try `torch.compile` on them.
        graph: whether to try CUDA graphs of them, on a CUDA device.
        layout: of the network in memory while rendering: auto, channels_last or channels_first (`mfv.models.layout`).

    Raises:
        MfvError: a number is too small, or the precision or the layout unknown.

    """

    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    workers: int | str = "auto"
    helpers: int | str = "auto"
    batch_size: int = 32
    progress: bool = True
    precision: str = "float32"
    compile: bool = False
    graph: bool = True
    layout: str = AUTO

    def __post_init__(self) -> None:
        check_count("machine.devices", self.devices, 1, "processes on a machine, one for each device", AUTO)
        check_count("machine.num_nodes", self.num_nodes, 1, "machines")
        check_count("machine.workers", self.workers, 0, "processes that decode images", AUTO)
        check_count("machine.helpers", self.helpers, 0, "processes that cluster codes and encode pictures", AUTO)
        check_count("machine.batch_size", self.batch_size, 1, "images")
        Acceleration(self.precision, self.compile, self.graph, self.layout)  # says what it cannot be

    @property
    def acceleration(self) -> Acceleration:
        """What may make the network's passes faster."""
        return Acceleration(self.precision, self.compile, self.graph, self.layout)

    @property
    def processes(self) -> int:
        """How many work on a stage together, on all machines: one for each device."""
        import torch

        on_one = torch.accelerator.device_count() if self.devices == AUTO and self.device.type != "cpu" else 1
        return self.num_nodes * (int(self.devices) if self.devices != AUTO else on_one)

    @property
    def helping(self) -> int:
        """How many helpers this process has; by "auto" none beside a CPU, whose rendering takes nearly all the time."""
        if self.helpers != AUTO:
            return int(self.helpers)
        if self.device.type == "cpu":
            return 0
        on_one = self.processes // self.num_nodes if distributed.count() > 1 else 1
        return min(MOST_HELPERS, processors() // on_one // 2)

    @property
    def device(self) -> torch.device:
        """Where the second network judges; what else is not rendered or collected is computed where the network is."""
        import torch

        known = torch.accelerator.current_accelerator() if self.accelerator != "cpu" else None
        return known if known is not None and torch.accelerator.is_available() else torch.device("cpu")
