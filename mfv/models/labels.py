"""Class names from a list or a text file."""

from collections.abc import Sequence
from pathlib import Path

from mfv.errors import MfvError


def read_labels(labels: Sequence[str] | str | Path | None) -> tuple[str, ...]:
    """Return class names in the order of the output, from a list or from a text file with one a line.

    Raises:
        MfvError: the file cannot be read, or is empty.

    """
    if labels is None:
        return ()
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
