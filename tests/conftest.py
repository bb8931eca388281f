"""Fixtures shared by all tests: real photographs, real weights, quiet threads."""

import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported
os.environ.setdefault("WANDB_MODE", "offline")

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development photos beside the checkout; tests that need them skip without."""
    path = (SHARED / "data").resolve()
    if not (path / "movie-theater").is_dir():
        pytest.skip(f"the development photos are not beside the checkout ({path})")
    return path
