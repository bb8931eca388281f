"""How libraries are loaded: without looking for garbage meanwhile, and not before they are wanted."""

import gc
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any


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


@contextmanager
def postponed(name: str) -> Iterator[None]:
    """Have a library that others import meanwhile loaded when they use something of it for the first time."""
    if name in sys.modules or find_spec(name) is None:
        yield
        return
    sys.modules[name] = stand_in = _StandIn(name)
    try:
        yield
    finally:
        stand_in.leave()


@contextmanager
def plots_postponed() -> Iterator[None]:
    """Have torchmetrics, which Lightning loads, load matplotlib when it plots for the first time, and not before.

    That takes a quarter of a second, and a run plots nothing that way.
    """
    if "torchmetrics" in sys.modules or find_spec("lightning_utilities") is None:
        yield
        return
    from lightning_utilities.core.imports import RequirementCache

    asked = RequirementCache.__bool__

    def found(self: RequirementCache) -> bool:
        return getattr(self, "requirement", None) != "matplotlib" and asked(self)

    RequirementCache.__bool__ = found  # type: ignore[method-assign]
    try:
        yield
    finally:
        RequirementCache.__bool__ = asked  # type: ignore[method-assign]
        plots: Any = sys.modules.get("torchmetrics.utilities.plot")
        if plots is not None and not hasattr(plots, "plt"):
            plots.matplotlib, plots.plt = _StandIn("matplotlib"), _StandIn("matplotlib.pyplot")


def on_first_use(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a package's `__getattr__` (PEP 562) that imports its names when they are used for the first time.

    Args:
        package: its name.
        homes: of each of its names, the module that has it.

    """

    def getattribute(name: str) -> Any:
        if name in homes:
            return getattr(import_module(homes[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    return getattribute


class _StandIn(ModuleType):
    """What stands for a library until something of it is used."""

    def leave(self) -> None:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__"):  # what the import system asks
            raise AttributeError(attribute)
        self.leave()
        return getattr(import_module(self.__name__), attribute)
