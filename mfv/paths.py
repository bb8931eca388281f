"""Folders that the user names."""

from pathlib import Path

from mfv.errors import MfvError


def existing_folder(root: str | Path, use: str) -> Path:
    """Return the root as a path, "~" expanded; an error tells what the folder is for where it is none."""
    if not str(root):
        raise MfvError(f"data.root is empty; give the folder of {use}: data.root=/path/to/it")
    path = Path(root).expanduser()
    if path.is_dir():
        return path
    problem = "is a file" if path.exists() else "does not exist"
    raise MfvError(f"data.root={path} {problem}; give the folder of {use}: data.root=/path/to/it")
