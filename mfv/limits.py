"""What numbers and words an argument may be: written beside its type, and compared with it when something is made.

    every: Annotated[int, Ge(1), "steps from one time to the next"] = 1
    smallest: Annotated[float, Gt(0), NotAbove("largest"), "a share of the side"] = 0.5
    mode: Literal["roll", "crop"] = "roll"

The limits are those of the package annotated-types; a text says what is counted. They hold for every number of a
value: a sequence's entries, both ends of a schedule. `mfv.signatures` reads them from the source, so that a mistake on
the command line is answered before PyTorch is loaded; `Checked` compares them when a class is used in a notebook.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt

from mfv.errors import MfvError


@dataclass(frozen=True)
class NotAbove:
    """Marks an argument that is at most another one.

    Attributes:
        argument: the other's name.

    """

    argument: str


MARKS: dict[str, Any] = {mark.__name__: mark for mark in (Ge, Gt, Interval, Le, Lt, NotAbove)}


@dataclass(frozen=True)
class Limits:
    """What an argument may be.

    Attributes:
        least: the smallest number; the others are above it where `above`.
        most: the largest number; the others are below it where `below`.
        above: whether the least itself is none of them.
        below: whether the most itself is none of them.
        words: the words; none for numbers.
        other: the argument that this one is not above; None for none.
        meaning: what is counted, for messages.

    """

    least: float = -math.inf
    most: float = math.inf
    above: bool = False
    below: bool = False
    words: tuple[object, ...] = ()
    other: str | None = None
    meaning: str = ""

    def __contains__(self, number: float) -> bool:
        """Say whether a number lies within both ends; NaN does not."""
        return (self.least < number or (number == self.least and not self.above)) and (
            number < self.most or (number == self.most and not self.below)
        )

    def __str__(self) -> str:
        """Return what a message says that the argument is."""
        if self.words:
            return f"one of {', '.join(map(str, self.words))}"
        if not (self.above or self.below) and math.inf > self.most > self.least > -math.inf:
            ends = [f"from {self.least:g} to {self.most:g}"]
        else:
            ends = [f"{'above' if self.above else 'at least'} {self.least:g}"] if self.least > -math.inf else []
            ends += [f"{'below' if self.below else 'at most'} {self.most:g}"] if self.most < math.inf else []
        return ", ".join(filter(None, [self.meaning or "a number", " and ".join(ends)]))


def limits_of(annotation: Any) -> Limits | None:
    """Return what an annotation says of an argument beyond its type; None where it says nothing.

    Args:
        annotation: as it is written (a text, or its syntax tree), or as Python has it.

    """
    if isinstance(annotation, str):
        annotation = ast.parse(annotation, mode="eval").body
    if not isinstance(annotation, ast.expr):
        if get_origin(annotation) is Literal:
            return Limits(words=get_args(annotation))
        return _of_marks(annotation.__metadata__) if get_origin(annotation) is Annotated else None
    if not isinstance(annotation, ast.Subscript):
        return None
    name, inside = ast.unparse(annotation.value).rpartition(".")[2], annotation.slice
    parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
    if name == "Literal":
        return Limits(words=tuple(ast.literal_eval(part) for part in parts))
    return _of_marks(filter(None, map(_mark, parts[1:]))) if name == "Annotated" else None


def check_limits(place: str, values: Mapping[str, Any], limits: Mapping[str, Limits]) -> None:
    """Raise `MfvError` for a value beyond its argument's limits.

    Args:
        place: what the arguments belong to, for the message.
        values: by argument. What is neither a number, a word, nor made of numbers is not looked at.
        limits: by argument.

    """
    for name, limit in limits.items():
        if name not in values or values[name] is None:
            continue
        value = values[name]
        if limit.words:
            wrong = isinstance(value, str) and value not in limit.words
        else:
            wrong = any(number not in limit for number in _numbers(value))
        if wrong:
            raise MfvError(f"{place}{name} is {_shown(value)}; it is {limit}")
        other = values.get(limit.other) if limit.other else None
        most = min(_numbers(other), default=math.inf)
        if any(number > most for number in _numbers(value)):
            raise MfvError(
                f"{place}{name} is {_shown(value)} and {limit.other} {_shown(other)}: "
                f"give a {name} of at most {limit.other}"
            )


class Checked:
    """What compares its arguments with their limits when it is made (`MfvError` where one is beyond)."""

    # Without a docstring: the API reference would show this constructor in place of the class's own.
    def __new__(cls, *arguments: Any, **named: Any) -> Any:  # noqa: D102
        made: type = cls
        signature, limits = _of_class(made)
        if limits and (arguments or named):
            try:
                given = signature.bind_partial(*arguments, **named)
            except TypeError:
                return super().__new__(cls)  # what is wrong there is said by the class's own `__init__`
            given.apply_defaults()
            check_limits(f"{cls.__name__}: ", given.arguments, limits)
        return super().__new__(cls)


@cache
def _of_class(made: type) -> tuple[inspect.Signature, dict[str, Limits]]:
    signature = inspect.signature(made)
    found = {name: limits_of(part.annotation) for name, part in signature.parameters.items()}
    return signature, {name: limits for name, limits in found.items() if limits}


def _mark(node: ast.expr) -> object | None:
    """Return what stands behind a type in `Annotated`; None for what is not known here."""
    try:
        return eval(compile(ast.Expression(node), "annotation", "eval"), {"__builtins__": {}, **MARKS})
    except (NameError, AttributeError, TypeError):
        return None


def _of_marks(marks: Iterable[object]) -> Limits | None:
    found: dict[str, Any] = {}
    for mark in marks:
        if isinstance(mark, str):
            found["meaning"] = mark
        elif isinstance(mark, NotAbove):
            found["other"] = mark.argument
        for part in mark if isinstance(mark, Interval) else [mark]:
            if isinstance(part, Ge | Gt):
                found |= {"least": part.ge if isinstance(part, Ge) else part.gt, "above": isinstance(part, Gt)}
            elif isinstance(part, Le | Lt):
                found |= {"most": part.le if isinstance(part, Le) else part.lt, "below": isinstance(part, Lt)}
    return Limits(**found) if found.keys() - {"meaning"} else None


def _numbers(value: Any) -> Iterator[float]:
    """Give the numbers that a value is made of: itself, a sequence's, the ends of a schedule or of its settings."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for part in value:
            yield from _numbers(part)
    elif value is not None:
        ends = value if isinstance(value, Mapping) else {name: getattr(value, name, None) for name in ("first", "last")}
        for name in ("first", "last"):
            yield from _numbers(ends.get(name))


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('first')!r} to {value.get('last')!r}"
    return repr(list(value) if isinstance(value, tuple) else value)
