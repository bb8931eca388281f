"""What a network's own modules do: their code, and what they keep beside their weights."""

from __future__ import annotations

import dis
import hashlib
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

SHIPPED = (  # packages whose code a network's printed layers stand for
    "torch", "torchvision", "timm", "pytorch_lightning", "lightning", "mfv",
)  # fmt: skip
PLAIN = (bool, int, float, complex, str, bytes, torch.dtype)
USUAL = frozenset(vars(nn.Module()))  # what every module keeps


def own_code(network: nn.Module) -> Iterator[str]:
    """Yield in words what modules that torch, torchvision and timm do not define do: nothing for their networks.

    That is the code of `forward`, with the methods and functions that it names, and numbers, words and functions among
    the module's attributes, but for those that a pass sets. It is the same in any process; lines and comments do not
    count.
    """
    own = {name: module for name, module in network.named_modules() if not is_shipped(type(module))}
    set_by_passes: set[str] = set()
    for kind in dict.fromkeys(map(type, own.values())):
        reading = _Reading(kind)
        yield from reading.method("forward")
        set_by_passes |= reading.stored
    for name, module in own.items():
        for key, value in sorted(vars(module).items()):
            if key not in USUAL | set_by_passes:
                yield from (f"{name}.{key}={said}" for said in _Reading(type(module)).value(value))


def is_shipped(thing: Any) -> bool:
    """Say whether a class or function is of a package whose code a network's printed layers stand for."""
    return str(getattr(thing, "__module__", "")).partition(".")[0] in SHIPPED


class _Reading:
    """One reading of a class's functions, each of which is read once."""

    def __init__(self, kind: type):
        self.kind = kind
        self.read: set[FunctionType] = set()
        self.stored: set[str] = set()  # attributes that the functions set

    def method(self, name: str) -> Iterator[str]:
        """Yield the code of a method, of the base classes' ones too, which it may call."""
        for base in self.kind.__mro__:
            function = _plain_function(vars(base).get(name))
            if function is not None:
                yield from self.function(function)

    def function(self, function: FunctionType) -> Iterator[str]:
        """Yield a function's code, and that of what it names; of a shipped one only that of the class's methods."""
        if function in self.read:
            return
        self.read.add(function)
        own = not is_shipped(function)
        if own:
            self.stored |= _names(function.__code__, "STORE_ATTR")
            yield from _code(function.__code__, function.__doc__)
            yield from self.value([function.__defaults__, *sorted((function.__kwdefaults__ or {}).items())])
        for name in sorted(_names(function.__code__, "LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")):
            yield from self.method(name)
        if own:
            for name in sorted(_names(function.__code__, "LOAD_GLOBAL")):
                yield from self.value(function.__globals__.get(name))
            for cell in function.__closure__ or ():
                yield from self.value(_content(cell))

    def value(self, value: Any) -> Iterator[str]:
        """Yield what tells a value from another: of numbers, words, tensors, functions, and lists of numbers."""
        if isinstance(value, PLAIN):
            yield repr(value)
        elif isinstance(value, Tensor) and value.layout is torch.strided and not (value.is_meta or value.is_quantized):
            plain = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            yield f"{tuple(value.shape)} {value.dtype} {hashlib.sha256(plain.numpy().tobytes()).hexdigest()}"
        elif isinstance(value, list | tuple):
            yield f"{len(value)} of"
            for each in value:
                if not isinstance(each, list):  # which might hold itself
                    yield from self.value(each)
        elif isinstance(value, FunctionType | MethodType):
            yield value.__qualname__  # without the module, which is another one's in a process that is spawned
            function = _plain_function(value)
            if function is not None and not is_shipped(function):
                yield from self.function(function)


def _plain_function(given: Any) -> FunctionType | None:
    given = given.fget if isinstance(given, property) else given
    given = getattr(given, "__func__", given)  # of a method, static or not
    return given if isinstance(given, FunctionType) else None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _names(code: CodeType, *operations: str) -> set[str]:
    """Return what a function loads by these operations, the functions within it included."""
    inner = [_names(each, *operations) for each in code.co_consts if isinstance(each, CodeType)]
    own = {each.argval for each in dis.get_instructions(code) if each.opname in operations}
    return own.union(*inner)


def _code(code: CodeType, docstring: str | None = None) -> Iterator[str]:
    yield f"{code.co_code.hex()} {code.co_names} {code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code(constant)
        elif constant is not docstring or docstring is None:
            yield _constant(constant)


def _constant(constant: Any) -> str:
    """Return a constant in words; of a set in order, which is another in each process."""
    if isinstance(constant, tuple):
        return f"({','.join(map(_constant, constant))})"
    return repr(sorted(map(repr, constant))) if isinstance(constant, frozenset) else repr(constant)
