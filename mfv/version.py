"""Which mfv this is, as pyproject.toml has it."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("mfv")
except PackageNotFoundError:  # a checkout on the path
    __version__ = "unknown"
