"""Numbers that change over the iterations of an octave."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from mfv.errors import MfvError


def _check_ends(first: Any, last: Any) -> None:
    for name, value in (("first", first), ("last", last)):
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise MfvError(f"a schedule's {name} is {value!r}; it is a number")


@runtime_checkable
class Schedule(Protocol):
    """A number for each iteration."""

    def at(self, iteration: int, iterations: int) -> float:
        """Return the value at `iteration` (from 0) of `iterations`."""
        ...


@dataclass(frozen=True)
class Linear:
    """From the first value, at the first iteration, straight to the last, at the last iteration."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_ends(self.first, self.last)

    def at(self, iteration: int, iterations: int) -> float:
        """Return first + (last − first)·i/(N−1)."""
        return self.first + (self.last - self.first) * _share(iteration, iterations)


@dataclass(frozen=True)
class Geometric:
    """From the first value to the last by a constant factor per iteration; both above 0."""

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_ends(self.first, self.last)
        if min(self.first, self.last) <= 0:
            raise MfvError(f"a geometric schedule goes from {self.first} to {self.last}; both are above 0")

    def at(self, iteration: int, iterations: int) -> float:
        """Return first·(last/first)^(i/(N−1))."""
        return self.first * (self.last / self.first) ** _share(iteration, iterations)


@dataclass(frozen=True)
class Released:
    """What the paper authors' released code computes for its TV weight: first·(1 − 1/N) + last·i/N.

    An operator-precedence slip: it ends near (first + last)(1 − 1/N), so that a "constant" .4 ramps
    from .398 to .796.
    """

    first: float
    last: float

    def __post_init__(self) -> None:
        _check_ends(self.first, self.last)

    def at(self, iteration: int, iterations: int) -> float:
        """Return the slipped value; of a single iteration, for which the slip leaves nothing, the first."""
        if iterations == 1:
            return self.first
        return self.first * (1 - 1 / iterations) + self.last * iteration / iterations


def value_at(schedule: float | Schedule, iteration: int, iterations: int) -> float:
    """Return a schedule's value, or the number itself where it is constant."""
    if isinstance(schedule, int | float):
        return float(schedule)
    if not isinstance(schedule, Schedule):
        raise MfvError(
            f"{schedule!r} is neither a number nor a schedule (mfv.schedules); look for it among render's settings"
        )
    return schedule.at(iteration, iterations)


def _share(iteration: int, iterations: int) -> float:
    return iteration / (iterations - 1) if iterations > 1 else 0.0
