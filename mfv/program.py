"""The program: the command line, in a process that ends without taking apart what it has loaded."""

import atexit
import logging
import os
import sys
from contextlib import suppress

_done: list[bool] = []


def main() -> None:
    """Run what the command line says (`mfv.cli.main`), and let the process end at once behind all that waits for it."""
    from mfv.cli import main as command  # what it loads shall find `_end` there

    command()
    _done.append(True)


@atexit.register  # before any library is loaded: so it is called last
def _end() -> None:
    """End the process of a command that succeeded: Python would free a million objects one by one, .3 s of a run."""
    if _done:
        with suppress(OSError):  # nobody reads: Python has its own way to say so
            sys.stdout.flush()
            sys.stderr.flush()
            logging.shutdown()
            os._exit(0)
