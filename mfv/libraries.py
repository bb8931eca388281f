"""How libraries are loaded: without looking for garbage meanwhile, and not before they are wanted."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import LazyLoader, find_spec, module_from_spec


@contextmanager
def loading_libraries() -> Iterator[None]:
    """Load libraries without looking for garbage meanwhile.

    They make a million objects that stay until the end; Python would go through all of them again and again while
    they are made, in every thorough search later, and once more as the process ends: on two cores 3 s of a run
    (docs/performance.md). In a process that has not loaded PyTorch before, what is there when they are loaded is never
    searched again; in another, as in a notebook or in a sweep's second job, it may hold garbage, and is.
    """
    first, searching = "torch" not in sys.modules, gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if first:
            gc.freeze()
        if searching:
            gc.enable()


def postpone(name: str) -> None:
    """Have a library loaded when something of it is used for the first time, though another one imports it before."""
    if name in sys.modules:
        return
    spec = find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = loader = LazyLoader(spec.loader)
    sys.modules[name] = module = module_from_spec(spec)
    loader.exec_module(module)
