"""One file of the activation store: some consecutive images' activations, with what is needed to check them."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mfv.errors import MfvError

DAY = 24 * 3600
FEW = 16  # rows that are read one by one rather than with all the others of their shard


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    row: int
    path: str
    reason: str


class DamagedShard(MfvError):
    """A shard whose bytes are not those that were written."""

    def __init__(self, path: Path, problem: str):
        super().__init__(f"{path} is damaged ({problem})")
        self.path, self.problem = path, problem

    def __reduce__(self) -> tuple[type[DamagedShard], tuple[Path, str]]:
        """Pickle by both arguments, so that the error survives the way back from another process."""
        return type(self), (self.path, self.problem)


def write_shard(path: Path, arrays: Mapping[str, np.ndarray], skipped: Sequence[Skipped] = ()) -> None:
    """Write a shard, whole or not at all.

    Args:
        path: of the file; its folder is there.
        arrays: by name.
        skipped: the shard's unreadable images.

    Raises:
        MfvError: the disk is full, or the file cannot be written. Nothing is left of it.

    """
    listed = json.dumps([asdict(entry) for entry in skipped])
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    content = save(contiguous, {"skipped": listed + "\n" + digest(contiguous, listed)})  # one entry: the same bytes
    write_whole(path, content)


def write_whole(path: Path, content: bytes, remedy: str = "set another store.root") -> None:
    """Write a file so that a kill leaves either all of it or nothing under its name.

    Args:
        path: of the file; its folder is there.
        content: of the file.
        remedy: what to do where it cannot be written.

    Raises:
        MfvError: the disk is full, or the file cannot be written.

    """
    temporary = path.with_name(f"{path.name}.{socket.gethostname()}.{os.getpid()}.part")
    try:
        for part in path.parent.glob(f"{path.name}.*.part"):
            if _is_left(part, path.name):
                part.unlink(missing_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise MfvError(
                f"the disk of {path.parent} is full ({len(content) / 1e6:.0f} MB more were needed): make room, or "
                f"{remedy}; what is stored is kept, and the same command goes on behind it"
            ) from error
        raise MfvError(f"{path} cannot be written: {error.strerror}; {remedy}") from error


def _is_left(part: Path, name: str) -> bool:
    """Say whether who wrote at a part of a file is gone: a process of this machine, or one of a day ago."""
    host, _, process = part.name.removeprefix(f"{name}.").removesuffix(".part").rpartition(".")
    try:
        if host not in ("", socket.gethostname()) or not process.isdigit():
            return time.time() - part.stat().st_mtime > DAY
        os.kill(int(process), 0)  # asks whether it is there
    except (ProcessLookupError, OverflowError):
        return True
    except (FileNotFoundError, PermissionError):
        pass
    return False


class Shard:
    """A shard to read from. Only what is asked for is read.

    Args:
        path: of the file.

    Raises:
        DamagedShard: the file is cut off, or is none.

    """

    def __init__(self, path: Path):
        self.path = path
        try:
            self._file = safe_open(path, framework="numpy")
        except (SafetensorError, OSError) as error:
            raise DamagedShard(path, str(error)) from error
        self._listed, _, self._digest = (self._file.metadata() or {}).get("skipped", "[]").partition("\n")
        self.names = tuple(self._file.keys())

    @property
    def skipped(self) -> list[Skipped]:
        """The unreadable images."""
        return [Skipped(**entry) for entry in json.loads(self._listed)]

    def array(self, name: str) -> np.ndarray:
        """Return an array."""
        return self._file.get_tensor(name)

    def width(self, name: str) -> int:
        """Return the length of an array's second axis."""
        return self._file.get_slice(name).get_shape()[1]

    def rows(self, name: str, rows: np.ndarray) -> np.ndarray:
        """Return rows (m,) of an array (n, d)."""
        if len(rows) > FEW:
            return self.array(name)[rows]
        part = self._file.get_slice(name)
        return np.stack([part[int(row)] for row in rows])

    def row(self, name: str, row: int) -> np.ndarray:
        """Return one row of an array (n, d)."""
        return self._file.get_slice(name)[row]

    def verify(self) -> None:
        """Raise `DamagedShard` where the content is not what was written."""
        try:
            found = digest({name: self.array(name) for name in self.names}, self._listed)
        except (SafetensorError, OSError) as error:
            raise DamagedShard(self.path, str(error)) from error
        if found != self._digest:
            raise DamagedShard(self.path, "its content does not have the checksum that it was written with")


def digest(arrays: Mapping[str, np.ndarray], text: str) -> str:
    """Return a checksum (BLAKE2b, 128 bits) of arrays, their names and shapes, and a text."""
    checksum = hashlib.blake2b(text.encode(), digest_size=16)
    for name in sorted(arrays):
        checksum.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        checksum.update(np.ascontiguousarray(arrays[name]).data)
    return checksum.hexdigest()
