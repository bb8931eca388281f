"""What mfv's classes and functions take, read from their source: a wrong value is answered before any is imported."""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mfv.errors import MfvError, nearest_names
from mfv.limits import Limits, check_limits, limits_of

PACKAGE = Path(__file__).parent
NAME = f"{PACKAGE.name}."
REST = "**"  # stands for any further arguments
KINDS: dict[str, str] = {  # what an annotation may name, and what a message calls it
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a word",
    "Path": "a path",
    "None": "null",
    "Schedule": "a schedule",
    "Sequence": "a list",
    "Mapping": "settings with names of their own ({NAME: …})",
}


@dataclass(frozen=True)
class Argument:
    """What an argument may be.

    Attributes:
        types: those that it may have, as they are written.
        limits: of its numbers or words; None for none.

    """

    types: tuple[str, ...] = ()
    limits: Limits | None = None


def check_arguments(settings: Any, place: str = "") -> None:
    """Raise `MfvError` where the class or function that a setting is for takes no such value, or none so named.

    Args:
        settings: a resolved configuration, or part of it. Where a mapping names one of mfv's classes or functions
            (`_target_`), its numbers, words and nulls are compared with what that is annotated to take: with their
            types, and with their limits (`mfv.limits`).
        place: the settings' own name.

    """
    for of, node in nodes(settings, place):
        target = node.get("_target_")
        taken = arguments_of(target) if isinstance(target, str) and target.startswith(NAME) else {}
        for key, value in node.items():
            if taken and REST not in taken and key not in taken and not str(key).startswith("_"):
                near = nearest_names(str(key), list(taken))
                hint = f"did you mean {near[0]}? " if near else ""
                raise MfvError(f"{of}.{key}: {target} takes no {key}; {hint}it takes {', '.join(taken)}")
            wanted = _kinds(taken[str(key)].types) if str(key) in taken else ()
            if wanted and all(name in KINDS for name in wanted) and not _fits(value, wanted):
                words = " or ".join(KINDS[name] for name in wanted)
                hint = f": [{value}]" if "Sequence" in wanted and isinstance(value, str) else ""
                raise MfvError(f"{of}.{key} is {value!r}; it is {words}{hint}")
        check_limits(f"{of}.", node, {name: each.limits for name, each in taken.items() if each.limits})


@cache
def arguments_of(target: str) -> dict[str, Argument]:
    """Return by name what each argument may be; {} where the target is not found.

    Args:
        target: a class or a function of mfv by its full name, `mfv.regularizers.TVProx`.

    """
    module, _, name = target.rpartition(".")
    return _of(_file(module), name)


def _of(file: Path | None, name: str) -> dict[str, Argument]:
    """Return what a class or function takes that a file defines, or imports from another of mfv's."""
    if file is None:
        return {}
    for node in _tree(file).body:
        if isinstance(node, ast.FunctionDef) and node.name == name:
            return _of_function(node)
        if isinstance(node, ast.ClassDef) and node.name == name:
            return _of_class(file, node)
    for part in ast.walk(_tree(file)):
        if isinstance(part, ast.ImportFrom) and part.module and name in {alias.name for alias in part.names}:
            return _of(_file(part.module), name)
    return {}


def _file(module: str) -> Path | None:
    """Return the file of one of mfv's modules or packages; None for others."""
    place = PACKAGE.parent.joinpath(*module.split("."))
    files = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in files if file.is_file()), None) if f"{module}.".startswith(NAME) else None


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _of_class(file: Path, node: ast.ClassDef) -> dict[str, Argument]:
    """Return what its constructor takes, or else the public fields of a dataclass, those of its bases first."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return _of_function(part)
    found: dict[str, Argument] = {}
    for base in node.bases:
        if isinstance(base, ast.Name):
            found |= _of(file, base.id)
    is_dataclass = any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list)
    for part in node.body if is_dataclass else ():
        if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
            found[part.target.id] = _argument(part.annotation)
    return {name: argument for name, argument in found.items() if not name.startswith("_")}


def _of_function(node: ast.FunctionDef) -> dict[str, Argument]:
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    found = {each.arg: _argument(each.annotation) for each in given if each.annotation is not None}
    return {**found, REST: Argument()} if node.args.kwarg else found


def _argument(annotation: ast.expr) -> Argument:
    limits = limits_of(annotation)
    if isinstance(annotation, ast.Subscript):
        of = ast.unparse(annotation.value).rpartition(".")[2]
        if of == "Annotated" and isinstance(annotation.slice, ast.Tuple):
            annotation = annotation.slice.elts[0]
        elif of == "Literal":
            return Argument(("str",), limits)
    return Argument(_types(annotation), limits)


def _types(annotation: ast.expr) -> tuple[str, ...]:
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        return (*_types(annotation.left), *_types(annotation.right))
    return (ast.unparse(annotation),)


def _kinds(types: tuple[str, ...]) -> tuple[str, ...]:
    """Return types without what theirs are of: "Sequence" for "Sequence[str]"."""
    return tuple(name.partition("[")[0] for name in types)


def _fits(value: Any, wanted: tuple[str, ...]) -> bool:
    if value is None:
        return "None" in wanted
    if isinstance(value, bool):
        return "bool" in wanted
    if isinstance(value, int):
        return "int" in wanted or "float" in wanted
    if isinstance(value, float):
        return "float" in wanted and not math.isnan(value)
    if isinstance(value, str):
        return "str" in wanted or "Path" in wanted
    if isinstance(value, Mapping):  # what is yet to be made may become a list
        return "Schedule" in wanted or "Mapping" in wanted or ("_target_" in value and "Sequence" in wanted)
    return "Sequence" in wanted


def nodes(node: Any, place: str) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Give all mappings in a tree of settings, each with its place."""
    if isinstance(node, Mapping):
        yield place, node
        for key, value in node.items():
            yield from nodes(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from nodes(value, f"{place}[{number}]")
