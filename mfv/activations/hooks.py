"""Forward hooks that exist only inside a `with` block."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

INPUT_SUFFIX = ":in"  # "classifier.1:in" is what the layer is given, "classifier.1" what it returns


class _Captured(Exception):  # noqa: N818 — it is a signal, not an error
    """Everything asked for was seen: the rest of the forward pass is not needed."""


class Recorder:
    """Collects the tensors of one forward pass, and ends the pass when it has them all."""

    def __init__(self, names: list[str], stop_early: bool):
        self.tensors: dict[str, Tensor] = {}
        self._names = names
        self._stop_early = stop_early

    def record(self, name: str, value: Any) -> None:
        """Keep the first value of a layer, as a layer may be called several times in a pass."""
        if name in self.tensors:
            return
        self.tensors[name] = first_tensor(name, value)
        if self._stop_early and len(self.tensors) == len(self._names):
            raise _Captured

    def run(self, network: nn.Module, inputs: Tensor) -> Tensor | None:
        """Run the network; None in place of its output where the pass ended early."""
        self.tensors.clear()
        try:
            return network(inputs)
        except _Captured:
            return None


def first_tensor(name: str, value: Any) -> Tensor:
    """Return the tensor in what a layer takes or returns (some return a tuple with extras behind it)."""
    while isinstance(value, tuple | list) and value:
        value = value[0]
    if not isinstance(value, Tensor):
        raise TypeError(f"layer {name!r} gives a {type(value).__name__}, not a tensor")
    return value


@contextmanager
def capture(layers: Mapping[str, nn.Module], stop_early: bool = True) -> Iterator[Recorder]:
    """Record what layers give, or take (names that end in ":in"), in the passes inside the block.

    The hooks are removed on every way out, also when a pass raises. With `stop_early` a pass ends
    at the last of the layers.
    """
    recorder = Recorder(list(layers), stop_early)
    handles = []
    try:
        for name, module in layers.items():
            if name.endswith(INPUT_SUFFIX):
                handles.append(module.register_forward_pre_hook(_input_hook(recorder, name)))
            else:
                handles.append(module.register_forward_hook(_output_hook(recorder, name)))
        yield recorder
    finally:
        for handle in handles:
            handle.remove()


def _output_hook(recorder: Recorder, name: str) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        recorder.record(name, output)

    return hook


def _input_hook(recorder: Recorder, name: str) -> Any:
    def hook(module: nn.Module, inputs: Any) -> None:
        recorder.record(name, inputs)

    return hook
