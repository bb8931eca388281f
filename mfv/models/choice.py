"""What is looked at, in a word: several units (all, 0-99, [3,14,15]), lists of layers, a place in the map."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from mfv.errors import MfvError

ALL = "all"
POSITIONS = ("max", "mean", "center", "class")
_COORDINATES = re.compile(r"\d+(,\d+)?")
_RANGE = re.compile(r"\s*(\d+)\s*-\s*(\d+)\s*")


def names_several(layer: Any, unit: Any) -> bool:
    """Say whether a configuration's `layer` and `unit` name more than one unit."""
    return any(isinstance(each, list | tuple) for each in (layer, unit)) or _is_span(unit)


def layer_names(layer: str | int | Sequence[str | int] | None, default: str) -> list[str]:
    """Return the layers that a configuration names, each once; those of a Sequential have numbers for names.

    Raises:
        MfvError: none is named, or one is a fraction: of 0.10 Hydra leaves 0.1, which is another layer.

    """
    if layer is None:
        return [default]
    given = list(layer) if isinstance(layer, list | tuple) else [layer]
    if not given:
        raise MfvError("layer=[]: name at least one layer")
    for each in given:
        if isinstance(each, bool) or not isinstance(each, str | int):
            quoted = f"layer='\"{each}\"'" if len(given) == 1 else f"layer='[\"{each}\",…]'"
            raise MfvError(f"layer={each} is read as a number, which may have lost digits: write {quoted}")
    return list(dict.fromkeys(str(each) for each in given))


def unit_names(unit: int | str | Sequence[int | str], count: int, labels: Collection[str] = ()) -> list[int | str]:
    """Return the numbers and names of the units that a configuration names, each once.

    Args:
        unit: a number or a name; "all"; a span "0-99", both ends included; or a list of these.
        count: how many units the layer has.
        labels: names of single units.

    Raises:
        MfvError: a span runs backwards, reaches beyond the layer or is a label too, or the list is empty.

    """
    given = list(unit) if isinstance(unit, Iterable) and not isinstance(unit, str) else [unit]
    names: list[int | str] = []
    for each in given:
        if _is_span(each) and each in labels:
            raise MfvError(
                f"unit={each!r} names several units, and is a label too: give the class's number, "
                f"or for the several ones a list of theirs (unit=[0,1,2])"
            )
        if each == ALL:
            names += range(count)
        elif isinstance(each, str) and (span := _RANGE.fullmatch(each)):
            first, last = int(span[1]), int(span[2])
            if first > last:
                raise MfvError(f"unit={each}: give the smaller number first (the layer's units are 0-{count - 1})")
            if last >= count:
                raise MfvError(f"unit={each}: the layer's units are 0-{count - 1}")
            names += range(first, last + 1)
        else:
            names.append(each)
    if not names:
        raise MfvError("unit=[]: name at least one unit")
    return list(dict.fromkeys(names))


def position_name(position: Any) -> str | None:
    """Return a configuration's `position` as `unit_values` takes it: a word, or numbers with commas between them.

    Raises:
        MfvError: it is neither.

    """
    if position is None:
        return None
    parts = position if isinstance(position, list | tuple) else str(position).split(",")
    written = ",".join(str(part).strip() for part in parts)
    if written not in POSITIONS and not _COORDINATES.fullmatch(written):
        raise MfvError(
            f"position is {position!r}; of a channel it is max, mean, center, or a row and a column of the map "
            "(position=[3,4]), of a transformer class, mean, max, or a token's number"
        )
    return written


def _is_span(unit: Any) -> bool:
    return isinstance(unit, str) and (unit == ALL or _RANGE.fullmatch(unit) is not None)
