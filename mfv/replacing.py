"""Files that are written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path, shared: bool = False) -> Iterator[Path]:
    """Give a place to write a file at, which takes the file's own at the end of the block.

    A kill leaves under the file's name what was there before, or all of the new one; a block that fails leaves nothing
    else.

    Args:
        path: of the file; its folder is there.
        shared: whether another process may write the same file now.

    """
    part = path.with_name(f"{path.name}.{os.getpid()}.part" if shared else f"{path.name}.part")
    try:
        yield part
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
