"""The types of the configuration's own keys, so that a wrong one is answered at once."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class SelectConfig:
    """Which images count as the unit's."""

    by: str = MISSING
    count: int | None = MISSING


@dataclass
class RefineConfig:
    """What becomes of facets that are too alike or too small."""

    merge: float | None = MISSING
    smallest: float | None = MISSING


@dataclass
class StoreConfig:
    """Where activations are kept."""

    root: str = MISSING


@dataclass
class MachineConfig:
    """What a run uses of the machine."""

    accelerator: str = MISSING
    devices: Any = MISSING  # a number, or "auto"
    num_nodes: int = MISSING
    workers: Any = MISSING  # a number, or "auto"
    helpers: Any = MISSING  # a number, or "auto"
    batch_size: int = MISSING
    progress: Any = MISSING  # true, false, or "auto"
    precision: str = MISSING
    compile: bool = MISSING
    graph: bool = MISSING
    layout: str = MISSING


@dataclass
class Config:
    """The root of the configuration; groups check their own parameters."""

    model: Any = MISSING
    data: Any = MISSING
    discovery: Any = MISSING
    render: Any = MISSING
    evaluation: Any = MISSING
    logger: Any = MISSING
    layer: Any = MISSING  # a name, or several
    unit: Any = MISSING  # a number or a name, or several
    facets: Any = MISSING  # a number, or "auto"
    position: Any = MISSING
    seed: int = MISSING
    exemplars: int = MISSING
    select: SelectConfig = field(default_factory=SelectConfig)
    refine: RefineConfig = field(default_factory=RefineConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    machine: MachineConfig = field(default_factory=MachineConfig)
    snapshot_every: int = MISSING
    checkpoint_every: int = MISSING
    name: str = MISSING


def register() -> None:
    """Make the schema known to Hydra, under the name that conf/config.yaml uses."""
    ConfigStore.instance().store(name="schema", node=Config)
