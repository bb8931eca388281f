"""Parts of a recipe that are bound to a unit, or to several as one thing, which a step asks once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from mfv.errors import MfvError

T = TypeVar("T")


def bound_to(subject: Any, part: T, kind: type[T]) -> T:
    """Return a part of a recipe, of this kind, for a unit and its facets; `MfvError` where its `bind` gives none."""
    bound = part.bind(subject)  # type: ignore[attr-defined]
    if not isinstance(bound, kind):
        raise MfvError(
            f"{type(part).__name__}.bind returns a {type(bound).__name__}: it is to return its kind ({kind.__name__}), "
            "itself or a copy with what it takes from the unit's images"
        )
    return bound


def joined(bound: Sequence[T], *arguments: Any) -> T | None:
    """Return what the first one's `joined` makes of all units'; None where that cannot stand for each of them.

    They must be of one class, of which the result is too; a subclass that is bound in a way of its own
    must say itself how it is joined.
    """
    kind: Any = type(bound[0])
    if any(type(one) is not kind for one in bound) or _depth(kind, "joined") > _depth(kind, "bind"):
        return None
    one: T | None = bound[0].joined(bound, *arguments)  # type: ignore[attr-defined]
    return one if type(one) is kind else None


def _depth(kind: type, method: str) -> int:
    """Return how many classes above a class has a method from."""
    return next(depth for depth, base in enumerate(kind.__mro__) if method in vars(base))
