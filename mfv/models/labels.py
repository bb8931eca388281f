"""Class names from a list or a text file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mfv.errors import MfvError


def read_labels(labels: Sequence[str] | str | Path | None) -> tuple[str, ...]:
    """Return class names in the order of the output, from a list or from a text file with one a line.

    Raises:
        MfvError: the file cannot be read, or is empty.

    """
    if labels is None:
        return ()
    if isinstance(labels, Mapping):
        return in_order(labels)
    if not isinstance(labels, str | Path):
        return tuple(map(str, labels))
    path = Path(labels).expanduser()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MfvError(f"labels={labels}: cannot read this as a text file with one class a line ({error})") from error
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        raise MfvError(f"labels={labels}: the file has no line with a class's name")
    return names


def in_order(labels: Any, setting: str = "labels") -> tuple[str, ...]:
    """Return class names as a tuple, from any series of strings, or from a mapping of the classes' numbers to them.

    Args:
        labels: the names; None for none.
        setting: what they are called, for the message.

    Raises:
        MfvError: they are a single string, or not all strings, or the numbers are not 0 … classes − 1.

    """
    if labels is None:
        return ()
    if isinstance(labels, str | bytes | Path) or not isinstance(labels, Iterable):
        raise MfvError(
            f"{setting} is {labels!r}; give a list with a name for each class, "
            "of a file with one a line: open(path).read().splitlines()"
        )
    if isinstance(labels, Mapping):
        numbered = {str(number): name for number, name in labels.items()}  # of JSON the numbers are strings
        if numbered.keys() != {str(number) for number in range(len(labels))}:
            shown = ", ".join(map(repr, list(labels)[:3]))
            raise MfvError(f"{setting} maps {shown} … to names; give a name for each of the classes 0, 1, 2 …")
        labels = [numbered[str(number)] for number in range(len(labels))]
    names = tuple(labels)
    wrong = next((index for index, name in enumerate(names) if not isinstance(name, str)), None)
    if wrong is not None:
        raise MfvError(f"{setting}[{wrong}] is {names[wrong]!r}; each is a string, as '{names[wrong]}'")
    return names
