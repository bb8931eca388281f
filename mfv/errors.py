"""The errors a user can cause: each names the value, the place and the remedy."""

import difflib
from collections.abc import Iterable
from typing import Any


class MfvError(Exception):
    """A mistake in what the user gave. The command line and notebooks show its message without a traceback."""

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback, which `traceback.print_last()` prints."""
        return [f"{type(self).__name__}: {self}"]


class UnreadableImage(MfvError):
    """An image file that cannot be decoded completely."""

    def __init__(self, path: str, reason: str):
        super().__init__(f"cannot read image {path!r}: {reason}")
        self.path = path
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnreadableImage"], tuple[str, str]]:
        """Pickle by both arguments, so that the error survives the way back from a data loader's worker."""
        return type(self), (self.path, self.reason)


def nearest_names(name: str, names: Iterable[str], count: int = 5) -> list[str]:
    """Return up to `count` of `names` that look most like `name`, those that contain it first."""
    names = list(dict.fromkeys(names))
    lowered = name.lower()
    containing = [other for other in names if lowered in other.lower()]
    similar = difflib.get_close_matches(name, names, n=count, cutoff=0.4)
    return list(dict.fromkeys(sorted(containing, key=len) + similar))[:count]


def check_count(name: str, value: Any, least: int, meaning: str, word: str | None = None) -> None:
    """Raise `MfvError` where a setting is neither a whole number of at least `least` nor the word that stands for one.

    Args:
        name: the setting's, as a user gives it.
        value: what was given.
        least: the smallest number that makes sense.
        meaning: what is counted, for the message.
        word: what stands for a number; None for nothing.

    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and value >= least) and (word is None or value != word):
        other = f", or {word}" if word else ""
        raise MfvError(f"{name} is {value!r}; it is a number of {meaning}, at least {least}{other}")


def check_intervals(snapshot_every: Any, checkpoint_every: Any) -> None:
    """Raise `MfvError` where a rendering cannot keep snapshots or checkpoints each so many steps."""
    check_count("snapshot_every", snapshot_every, 0, "steps between images that are kept (0: none)")
    check_count("checkpoint_every", checkpoint_every, 1, "steps between checkpoints")
