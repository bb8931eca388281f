"""The errors a user can cause: each names the value, the place and the remedy."""

import difflib
from collections.abc import Iterable


class MfvError(Exception):
    """A mistake in what the user gave. The command line prints its message without a traceback."""


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
