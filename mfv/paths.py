"""Folders that the user names."""

import os
from pathlib import Path

from mfv.errors import MfvError


def existing_folder(root: str | os.PathLike[str], use: str, setting: str = "data.root") -> Path:
    """Return the root as a path, "~" expanded; an error tells what the folder is for where it is none.

    Args:
        root: as the user gave it.
        use: what the folder holds.
        setting: the one that names it.

    """
    remedy = f"give the folder of {use}: {setting}=/path/to/it"
    if not str(root):
        raise MfvError(f"{setting} is empty; {remedy}")
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    problem = "is a file" if path.exists() else "does not exist"
    raise MfvError(f"{setting}={path} {problem}; {remedy}")
