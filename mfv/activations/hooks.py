"""Forward hooks that exist only inside a `with` block."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor, nn

from mfv.models.naming import INPUT_SUFFIX


class NotATensor(TypeError):
    """What a layer takes or returns has no tensor in it."""


class _Captured(Exception):
    """A signal: everything asked for was seen, the rest of the forward pass is not needed."""


class Recorder:
    """Collects the tensors of one forward pass, and ends the pass when it has them all."""

    def __init__(self, names: list[str], stop_early: bool):
        self.tensors: dict[str, Tensor] = {}
        self._names = names
        self._stop_early = stop_early

    def record(self, name: str, value: Any) -> bool:
        """Keep a layer's first value, as a pass may call it several times; say whether this was the first."""
        if name in self.tensors:
            return False
        self.tensors[name] = first_tensor(name, value)
        if self._stop_early and len(self.tensors) == len(self._names):
            raise _Captured
        return True

    def run(self, network: nn.Module, inputs: Tensor) -> Any:
        """Run the network; None in place of its output where the pass ended early."""
        self.tensors.clear()
        try:
            return network(inputs)
        except _Captured:
            return None


def first_tensor(name: str, value: Any) -> Tensor:
    """Return the tensor in what a layer takes or returns.

    Some return a tuple with extras behind it, some networks a mapping, or a dataclass: then its "logits", or the first
    entry.
    """
    while not isinstance(value, Tensor):
        if is_dataclass(value) and not isinstance(value, Mapping | type):
            value = {each.name: getattr(value, each.name) for each in fields(value)}
        if isinstance(value, Mapping) and value:
            value = value.get("logits", next(iter(value.values())))
        elif isinstance(value, tuple | list) and value:
            value = value[0]
        else:
            raise NotATensor(f"layer {name!r} gives a {type(value).__name__}, not a tensor")
    return value


@contextmanager
def capture(layers: Mapping[str, nn.Module], stop_early: bool = True) -> Iterator[Recorder]:
    """Record what layers give, or take (names that end in ":in"), in the passes inside the block.

    A recorded tensor is part of the pass's graph, and what comes later works on a copy of it: so it
    stays what the layer gave, also where the network changes it in place afterwards (as ResNet's
    `out += identity` does). The hooks are removed on every way out, also when a pass raises. With
    `stop_early` a pass ends at the last of the layers.
    """
    recorder = Recorder(list(layers), stop_early)
    handles = []
    try:
        for name, module in layers.items():
            if name.endswith(INPUT_SUFFIX):
                handles.append(module.register_forward_pre_hook(_input_hook(recorder, name), with_kwargs=True))
            else:
                handles.append(module.register_forward_hook(_output_hook(recorder, name)))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def _output_hook(recorder: Recorder, name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        return _with_copy(output) if recorder.record(name, output) else None

    return hook


def _input_hook(recorder: Recorder, name: str) -> Any:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not args:
            recorder.record(name, kwargs)
            return None
        args = _with_copy(args)  # the caller keeps the original and may change it
        return (_with_copy(args), kwargs) if recorder.record(name, args) else None

    return hook


def _with_copy(value: Any) -> Any:
    """Return a value with its first tensor copied; containers but tuples and lists stay as they are."""
    if isinstance(value, Tensor):
        return value.clone()
    if type(value) in (tuple, list) and value:
        return type(value)([_with_copy(value[0]), *value[1:]])
    return value
