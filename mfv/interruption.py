"""Ctrl-C, or a notebook's stop button: what there is so far is kept, and the process goes on listening."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfv.structures import FacetSet


@dataclass
class Wish:
    """Whether the user wants the work to end: who works in steps ends after the one in hand."""

    asked: bool = False


class Interrupted(KeyboardInterrupt):
    """The user stopped a rendering; `partial` holds the facets with their images so far.

    A notebook shows the message alone. `sys.last_value` is the error there, so that the images can be had afterwards.

    Args:
        partial: the facets, with the images as they were; of several units a list, the finished ones among them.
        step: how many steps were made, of the units in hand.
        steps: how many there are.

    """

    def __init__(self, partial: FacetSet | Sequence[FacetSet], step: int, steps: int):
        super().__init__(f"stopped at step {step} of {steps}")
        self.partial: Any = partial
        self.step, self.steps = step, steps

    def __reduce__(self) -> tuple[type[Interrupted], tuple[Any, int, int]]:
        """Pickle by all arguments, so that it comes back from another process."""
        return type(self), (self.partial, self.step, self.steps)

    def _render_traceback_(self) -> list[str]:
        """Return what IPython shows in place of a traceback."""
        return [
            f"{self}. The images so far: import sys; facets = sys.last_value.partial",
            "With directory=… the same call goes on from here.",
        ]


@contextmanager
def interruptible(step_by_step: bool = False) -> Iterator[Wish]:
    """Let an interrupt end the block as a KeyboardInterrupt, whatever Lightning does in it.

    Lightning's trainer answers a KeyboardInterrupt by making the process deaf to further ones and ending it, with
    status 1. So none reaches it: within the block an interrupt is another exception.

    Args:
        step_by_step: whether the first interrupt only sets the wish that the block gets, which ends it after the step
            in hand; a second one ends it at once. Otherwise the first one does.

    Raises:
        KeyboardInterrupt: at the end of the block, where the user interrupted it.

    """
    wish = Wish()
    listening = threading.current_thread() is threading.main_thread()  # signals come to no other
    before = signal.getsignal(signal.SIGINT) if listening else None

    def interrupted(number: int, frame: Any) -> None:
        first, wish.asked = not wish.asked, True
        if not (first and step_by_step):
            raise _Now

    if before is signal.default_int_handler:  # else the program has its own way with interrupts
        signal.signal(signal.SIGINT, interrupted)
    try:
        yield wish
    except _Now:
        raise KeyboardInterrupt from None
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning's answer
            raise KeyboardInterrupt from None
        raise
    except Exception:
        if wish.asked and not step_by_step:  # a loader's process, say, that ended at the same interrupt
            raise KeyboardInterrupt from None
        raise  # of steps: of the last one, or while its checkpoint was written
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)
    if wish.asked:
        raise KeyboardInterrupt


@contextmanager
def ending_at_once(*besides: Callable[[], None]) -> Iterator[None]:
    """Let an interrupt end the process within the block, in which there is nothing to keep.

    For the time in which libraries are loaded: PyTorch, interrupted in that, answers with errors of its own.

    Args:
        *besides: what else is to be done then.

    """
    listening = threading.current_thread() is threading.main_thread()
    if not listening or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def end(number: int, frame: Any) -> None:
        print("stopped", file=sys.stderr, flush=True)
        for each in besides:
            each()
        os._exit(128 + number)

    signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


class _Now(BaseException):
    """An interrupt, under a name that Lightning does not know."""
