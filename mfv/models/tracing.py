"""The graph of a network's forward pass, which module feeds which; and modules put in the place of others."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from torch import fx, nn

from mfv.models.fusing import ConvolutionChain

LEAVES = (nn.Conv2d, nn.BatchNorm2d, nn.Linear, ConvolutionChain)  # timm's own and those of a prepared network included
_TRACING = threading.Lock()

logger = logging.getLogger("mfv")


def traced(network: nn.Module) -> fx.Graph | None:
    """Return the graph of a network's forward pass.

    None where it cannot be traced: control flow that depends on the input, and whatever else a forward pass may do.
    """
    try:
        with _TRACING:
            return _Tracer().trace(network)
    except Exception as error:
        logger.debug("%s cannot be traced: %s", type(network), error)
        return None


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put a module in the place of another."""
    parent, _, child = name.rpartition(".")
    setattr(network.get_submodule(parent), child, module)


class _Tracer(fx.Tracer):
    """A tracer that does not look into the `LEAVES`.

    PyTorch's changes what a call of any of the process's modules does, for as long as it traces. This one leaves those
    of other threads as they are. Only one may trace at a time (`_TRACING`).
    """

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Trace a module's call, in the thread that traces."""
        if threading.get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Trace the reading of a module's parameter or buffer, in the thread that traces."""
        if threading.get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES) or super().is_leaf_module(m, module_qualified_name)
