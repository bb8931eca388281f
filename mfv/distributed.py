"""Processes that torchrun or SLURM started together: one run is theirs, and each does a share of what is not sharded.

They meet in `first`, `together`, `after_first` and `meet`, which all of them call, in the same order. A process that
was started alone meets nobody. PyTorch is loaded where they first meet: how many there are is known before.
"""

from __future__ import annotations

import atexit
import io
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Generic, TypeVar

from mfv.errors import MfvError

TORCHRUN, SLURM = ("WORLD_SIZE", "RANK"), ("SLURM_NTASKS", "SLURM_PROCID")  # how many processes, and which
BY_HAND = ("bash", "interactive")  # names of SLURM jobs whose tasks are not ours: Lightning's rule
PATIENCE = timedelta(days=7)  # a process that ended is seen by its closed connection, not by the clock
CLOSED = ("Connection closed", "Connection reset", "Broken pipe", "Socket closed")  # what gloo says then

T = TypeVar("T")


def count() -> int:
    """Return how many processes were started together, on all machines; 1 for one that was started alone."""
    return _place()[0]


def rank() -> int:
    """Return which of them this one is; 0 for the first, which does what only one may do."""
    return _place()[1]


def check(devices: int | str, num_nodes: int) -> None:
    """Raise `MfvError` where the machine that is asked for is not the one that torchrun or SLURM started."""
    asked = num_nodes * int(devices) if str(devices).isdigit() else None
    if count() > 1 and asked not in (None, count()):
        raise MfvError(
            f"{count()} processes were started together, but machine.devices={devices} on each of "
            f"machine.num_nodes={num_nodes} makes {asked}: let machine.devices be the processes on one machine "
            "(torchrun --nproc_per_node, SLURM --ntasks-per-node) and machine.num_nodes the machines"
        )
    if count() == 1 and num_nodes > 1:
        raise MfvError(
            f"machine.num_nodes={num_nodes}: start the run on all machines at once, by torchrun or srun (docs/scale.md)"
        )


def first(work: Callable[[], T]) -> T:
    """Let the first process do something, and return in all what it returned.

    Raises:
        MfvError: in the first process, what it raised; the others end after it, without a word.

    """
    if count() == 1:
        return work()
    own = _outcome(work) if rank() == 0 else None
    sent = [_packed(own, ()) if own else b""]
    with closed_connections_explained():
        _distributed().broadcast_object_list(sent, src=0, group=_meeting())
    return _values([own or _unpacked(sent[0], ())])[0]


def together(work: Callable[[], T], known: Sequence[object] = ()) -> list[T]:
    """Let each process do its share, and return in all what they returned, in the order of their ranks.

    Args:
        work: a process's share.
        known: objects that all have, in the same order: where results refer to them, they do so everywhere.

    Raises:
        MfvError: in the first process, what any of them raised; the others end after it, without a word.

    """
    if count() == 1:
        return [work()]
    own = _outcome(work)
    sent: list[Any] = [None] * count()
    with closed_connections_explained():
        _distributed().all_gather_object(sent, _packed(own, known), group=_meeting())
    return _values([own if place == rank() else _unpacked(each, known) for place, each in enumerate(sent)])


def after_first(work: Callable[[], T]) -> T:
    """Do something in every process, in the first one first: what that downloads or writes is there for the others."""
    made: list[T] = []
    first(lambda: made.append(work()))
    together(lambda: None if made else made.append(work()))
    return made[0]


def meet() -> None:
    """Wait until all have come here."""
    together(lambda: None)


@contextmanager
def closed_connections_explained() -> Iterator[None]:
    """Raise `MfvError` where another process is gone."""
    try:
        yield
    except RuntimeError as error:
        if count() == 1 or not any(text in str(error) for text in CLOSED):
            raise
        raise MfvError(
            "another process of this run has ended: it says why, or the system killed it, usually for want of memory. "
            "What is finished is kept: the same command, with the same hydra.run.dir, goes on behind it, on another "
            "number of processes too"
        ) from error


@dataclass(frozen=True)
class _Outcome(Generic[T]):
    """What a share gave: a value, or an error's message."""

    value: T | None = None
    message: str | None = None


def _place() -> tuple[int, int]:
    """Return how many there are, and which this one is."""
    for many, which in (TORCHRUN, SLURM):
        if int(os.environ.get(many) or 1) > 1 and which in os.environ:
            if many == SLURM[0] and os.environ.get("SLURM_JOB_NAME") in BY_HAND:
                continue
            return int(os.environ[many]), int(os.environ[which])
    return 1, 0


def _outcome(work: Callable[[], T]) -> _Outcome[T]:
    try:
        return _Outcome(work())
    except MfvError as error:
        return _Outcome(message=str(error))


def _values(outcomes: Sequence[_Outcome[T]]) -> list[T]:
    """Return what all gave; where one failed the first process says so, and the others end when it has."""
    messages = [outcome.message for outcome in outcomes if outcome.message is not None]
    if not messages:
        return [outcome.value for outcome in outcomes]  # type: ignore[misc]
    if rank() == 0:
        raise MfvError("\n".join(dict.fromkeys(messages)))
    with suppress(RuntimeError):  # it never comes: its connection closes
        _distributed().barrier(group=_meeting())
    raise SystemExit(1)


def _distributed() -> Any:
    """Return torch.distributed, in which all have joined: Lightning takes the group that it finds."""
    import torch

    if not torch.distributed.is_initialized():
        from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment

        environment = TorchElasticEnvironment() if TorchElasticEnvironment.detect() else SLURMEnvironment()
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
        if torch.cuda.is_available():  # what a process computes by itself, it does on a GPU of its own
            torch.cuda.set_device(environment.local_rank() % torch.cuda.device_count())
        try:
            torch.distributed.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                rank=environment.global_rank(),
                world_size=environment.world_size(),
            )
        except torch.distributed.DistError as error:
            raise MfvError(
                f"not all of the {count()} processes that were to start together have come: {error}"
            ) from error
        atexit.register(torch.distributed.destroy_process_group)
    return torch.distributed


@cache
def _meeting() -> Any:
    """Return the group in which they meet: over sockets, whatever the devices, so that an end is noticed at once."""
    return _distributed().new_group(backend="gloo", timeout=PATIENCE)


class _Packing(pickle.Pickler):
    """Writes an object that all processes have as its place among those, and of a view what it shows."""

    def __init__(self, buffer: io.BytesIO, known: Sequence[object]):
        super().__init__(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        self.places = {id(each): place for place, each in enumerate(known)}

    def persistent_id(self, each: object) -> int | None:
        return self.places.get(id(each))

    def reducer_override(self, each: object) -> Any:
        from mfv.packing import reduced  # where something is packed PyTorch is there

        return reduced(each)


class _Unpacking(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, known: Sequence[object]):
        super().__init__(buffer)
        self.known = known

    def persistent_load(self, place: int) -> object:
        return self.known[place]


def _packed(outcome: _Outcome[Any], known: Sequence[object]) -> bytes:
    buffer = io.BytesIO()
    _Packing(buffer, known).dump(outcome)
    return buffer.getvalue()


def _unpacked(content: bytes, known: Sequence[object]) -> _Outcome[Any]:
    return _Unpacking(io.BytesIO(content), known).load()
