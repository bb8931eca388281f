"""Folders of the user's that cannot be written: no room, no permission, a file where a folder should be."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mfv.commands import shell_setting
from mfv.errors import MfvError

FULL = (errno.ENOSPC, errno.EDQUOT)
REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def writing(places: Mapping[str, str | Path | None]) -> Iterator[None]:
    """Say what to do where something cannot be written, in place of a library's traceback; all other errors pass.

    Args:
        places: the folders that are written to, by the setting that names each, of the command line with a dot
            in it; None for one that is not used. The first one is that of the results.

    Raises:
        MfvError: a disk is full, or one of the folders cannot be made or written.

    """
    try:
        yield
    except MfvError:
        raise
    except Exception as error:
        if message := unwritable(error, places):
            raise MfvError(message) from error
        raise


def unwritable(error: BaseException, places: Mapping[str, str | Path | None]) -> str | None:
    """Return what a user is told of an error, where it says that something cannot be written; None for other errors."""
    used = {setting: Path(place).absolute() for setting, place in places.items() if place is not None}
    number, file = _number(error), _file(error)
    if number in FULL:
        temporary = Path(tempfile.tempdir or os.environ.get("TMPDIR", "/tmp"))
        fullest = min([*used.values(), temporary], key=_free)
        message = f"the disk of {fullest} is full ({_free(fullest) / 1e6:.1f} MB are free): make room"
        if not used:
            return message
        setting, place = next(iter(used.items()))
        word = shell_setting(setting, place) if "." in setting else f"{setting}={place}"
        return f"{message}; what is finished is kept, and the same again with {word} goes on behind it"
    for setting, place in used.items():
        if file is not None and _meet(file, place) and (number in REFUSED or not place.is_dir()):
            return f"{file} cannot be written ({os.strerror(number or 0)}): give another folder, {setting}=…"
    return None


def check_folder(setting: str, place: str | Path) -> None:
    """Raise `MfvError` where a folder is not there and cannot be made, or cannot be written.

    A folder that holds stores may hold all that a run needs: it need not be written.
    """
    path = Path(place).absolute()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    if not there.is_dir():
        raise MfvError(f"{setting}={place}: {there} is a file; give a folder")
    if not os.access(there, os.W_OK | os.X_OK) and not any(path.glob("*/manifest.json")):
        reason = errno.EROFS if os.statvfs(there).f_flag & os.ST_RDONLY else errno.EACCES
        raise MfvError(f"{setting}={place}: {there} cannot be written ({os.strerror(reason)}); give another folder")


def _number(error: BaseException) -> int | None:
    """Return the system's number of an error; of another library's, or another process's, by its words."""
    if isinstance(error, OSError):
        return error.errno
    return next((number for number in FULL if os.strerror(number) in str(error)), None)


def _file(error: BaseException) -> Path | None:
    """Return the file that an error names: of two, the one that was to be written."""
    name = getattr(error, "filename2", None) or getattr(error, "filename", None)
    return Path(os.fsdecode(name)).absolute() if isinstance(name, str | bytes) else None


def _free(folder: Path) -> int:
    there = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    return shutil.disk_usage(there).free


def _meet(file: Path, folder: Path) -> bool:
    """Say whether a file is in a folder, or is one that the folder is in."""
    return file == folder or folder in file.parents or file in folder.parents
