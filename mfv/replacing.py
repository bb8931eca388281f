"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE


@contextmanager
def replacing(path: Path, shared: bool = False) -> Iterator[Path]:
    """Give a place to write a file at, which takes the file's own at the end of the block.

    A kill leaves under the file's name what was there before, or all of the new one; a block that fails leaves nothing
    else. Who may read the file are those who may read any new one: safetensors would have it the owner's alone.

    Args:
        path: of the file; its folder is there.
        shared: whether another process may write the same file now.

    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    try:
        part.touch()
        rights = S_IMODE(part.stat().st_mode)
        yield part
        if S_IMODE(part.stat().st_mode) != rights:
            part.chmod(rights)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
