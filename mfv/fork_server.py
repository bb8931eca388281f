"""Processes that are copies of one with the libraries loaded; nothing here needs PyTorch.

A stage on several devices starts a process for each. New interpreters would each load PyTorch and Lightning, at every
stage; a server loads them once, while the run itself does so, and each process is a copy of it.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.reduction import ForkingPickler
from typing import Any, Literal

from mfv.memory import keep_freed_memory, keeps_freed_memory

# Elsewhere the system's own libraries do not bear being copied.
START_METHOD: Literal["forkserver", "spawn"] = "forkserver" if sys.platform == "linux" else "spawn"
LOADED = ["mfv.activations.collector", "mfv.rendering.renderer"]
HELPERS_NEED = ["mfv.jobs", "sklearn.manifold", "sklearn.cluster"]  # beyond those (`mfv.helpers`)
LARGE = 1 << 20  # bytes
MOST_FILES = 200


def begin_loading(*more: str) -> None:
    """Start the server, unless it is there; it ends with this process, which alone answers an interrupt.

    Args:
        *more: modules to load beside what a stage's processes need.

    """
    if START_METHOD == "forkserver":
        multiprocessing.set_forkserver_preload([*LOADED, *more])
        with ignoring_interrupts():
            forkserver.ensure_running()


def end() -> None:
    """End the server at once, and with it what it was still to start; the next copy is one of another."""
    process = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if process:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def asks_for_several(devices: int | str, num_nodes: int) -> bool:
    """Say whether the settings take several processes for certain; what "auto" takes, PyTorch knows."""
    return num_nodes > 1 or devices not in (1, "1", "auto")


@contextmanager
def few_open_files() -> Iterator[None]:
    """Let tensors travel to another process by value, but for large ones, which share memory by way of open files.

    By itself PyTorch opens a file for each tensor, and a server takes at most 256 of them for a process.
    """
    import torch
    from torch.multiprocessing.reductions import reduce_tensor

    shared: set[tuple[int, int]] = set()

    def sent(tensor: torch.Tensor) -> Any:
        if tensor.layout != torch.strided:
            return reduce_tensor(tensor)
        if tensor.nbytes >= LARGE and ((tensor.data_ptr(), tensor.nbytes) in shared or len(shared) < MOST_FILES):
            found = reduce_tensor(tensor)  # moves it to memory that can be shared
            shared.add((tensor.data_ptr(), tensor.nbytes))
            return found
        value, written = tensor.detach(), io.BytesIO()
        torch.save(value if value.untyped_storage().nbytes() == value.nbytes else value.clone(), written)
        return _read, (written.getvalue(), isinstance(tensor, torch.nn.Parameter), tensor.requires_grad)

    kinds = (torch.Tensor, torch.nn.Parameter)
    for kind in kinds:
        ForkingPickler.register(kind, sent)
    try:
        yield
    finally:
        for kind in kinds:
            ForkingPickler.register(kind, reduce_tensor)


def end_with_parent() -> None:
    """Let this process end as soon as the one that started it has: killed, that could not end it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="end_with_parent").start()


class Surroundings:
    """What goes along to another process, as a copy has what the server began with.

    The environment's variables, and whether freed memory is kept.
    """

    def __getstate__(self) -> tuple[dict[str, str], bool]:
        """Take those of now."""
        return dict(os.environ), keeps_freed_memory()

    def __setstate__(self, state: tuple[dict[str, str], bool]) -> None:
        """Make them those of this process."""
        variables, kept = state
        for name in os.environ.keys() - variables:
            del os.environ[name]
        os.environ.update(variables)
        if kept:
            keep_freed_memory()


@contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Let what is started within the block be deaf to interrupts, as its copies then are."""
    if threading.current_thread() is not threading.main_thread():  # only that one may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _read(written: bytes, is_parameter: bool, requires_grad: bool) -> Any:
    import torch

    tensor = torch.load(io.BytesIO(written), weights_only=True)
    return torch.nn.Parameter(tensor, requires_grad) if is_parameter else tensor.requires_grad_(requires_grad)
