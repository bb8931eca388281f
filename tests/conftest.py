"""Fixtures shared by all tests: real photographs, real weights, quiet threads."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported
os.environ.setdefault("WANDB_MODE", "offline")
if "PYTEST_XDIST_WORKER" in os.environ:  # one of several processes: each computes on a core of its own
    os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as a shell's background jobs do, and what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)

from pathlib import Path

import pytest

# The files that take half a minute or more are begun first, the longest of them first: workers end together.
LONGEST = ("rendering", "cli", "waves", "discovery", "distributed", "sweeps", "earlier_methods", "evaluation")
LONGEST += ("collect", "benchmark", "loggers", "kernel", "compare", "figures", "interruption", "models", "data")
SHARED = Path(__file__).resolve().parents[1] / ".." / "shared"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development photos beside the checkout; tests that need them skip without."""
    path = (SHARED / "data").resolve()
    if not (path / "movie-theater").is_dir():
        pytest.skip(f"the development photos are not beside the checkout ({path})")
    return path


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """Let a rendering die before a step, within `with killed_at(step):`."""
    from mfv.rendering.renderer import FacetRenderer

    @contextmanager
    def dying(stop: int) -> Iterator[None]:
        step = FacetRenderer.training_step

        def breaking(self: FacetRenderer, batch: object, batch_idx: int) -> None:
            if self.steps_done == stop:
                raise RuntimeError("killed")
            step(self, batch, batch_idx)

        with monkeypatch.context() as patch:
            patch.setattr(FacetRenderer, "training_step", breaking)
            with pytest.raises(RuntimeError, match="killed"):
                yield

    return dying


@pytest.fixture
def threads_of() -> Callable[[int], AbstractContextManager[None]]:
    """Compute with as many threads as each of several processes gets, so that sums keep their order."""
    import torch

    @contextmanager
    def fewer(processes: int) -> Iterator[None]:
        before = torch.get_num_threads()
        torch.set_num_threads(max(1, before // processes))
        try:
            yield
        finally:
            torch.set_num_threads(before)

    return fewer
