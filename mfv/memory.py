"""The process's memory: kept between steps instead of given back and asked for again; and how much it was."""

import ctypes
import sys
from pathlib import Path

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # of glibc's mallopt
GIGABYTE = 1 << 30

_kept = False


def keep_freed_memory() -> bool:
    """Make this process keep the memory that it frees; return whether the C library took it.

    glibc gives large blocks back to the system when they are freed, and gets them anew, page by page
    and zeroed, at the next step: on a CPU a quarter to a third of a rendering's time went there
    (docs/performance.md). The process then holds its peak until it ends, and so do those that a stage
    starts. It changes how the whole process allocates, so only the command line calls it by itself.
    """
    global _kept
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # another C library
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2 * GIGABYTE - 1), (M_TOP_PAD, GIGABYTE // 4))
    taken = [mallopt(option, value) == 1 for option, value in settings]
    _kept = all(taken)
    return _kept


def keeps_freed_memory() -> bool:
    """Say whether this process keeps the memory that it frees, as `keep_freed_memory` has it."""
    return _kept


def peak_memory() -> float:
    """Return the most memory that this process has held, in MB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would give what the parent held when it forked, if that was more
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource  # not on every system

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
