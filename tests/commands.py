"""run.py in a process of its own, whose libraries are loaded already.

A server loads them once for each of pytest's processes, and every start is a copy of it: a new interpreter would take
seconds for what other tests have seen. What a start itself does is tested with `subprocess`.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import signal
import sys
from pathlib import Path
from subprocess import TimeoutExpired

import torch

from mfv.fork_server import LOADED

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "run.py"
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        *LOADED, "mfv.cli", "mfv.jobs", "mfv.models.torchvision", "mfv.models.timm", "mfv.evaluation.offline",
        "mfv.regularizers", "mfv.objectives", "mfv.rendering.stage", "mfv.data.photos", "mfv.data.folder",
        "mfv.discovery.tsne", "sklearn.manifold", "faiss",
    ]
)  # fmt: skip


class Command:
    """A run of a script, as `subprocess.Popen` has it; in a session of its own.

    Args:
        arguments: of the command line.
        directory: where it runs.
        script: what runs.
        output: the file or the terminal that gets what it writes; by default a file that `communicate` reads.
        **environment: further variables.

    """

    def __init__(
        self,
        arguments: list[str],
        directory: Path,
        script: Path = SCRIPT,
        output: str | None = None,
        **environment: str,
    ):
        self.output = output or str(directory / f"output_{os.urandom(4).hex()}.txt")
        self._written = output is None
        given = (str(script), list(map(str, arguments)), str(directory), {**os.environ, **environment}, self.output)
        self.process = SERVER.Process(target=_run, args=given)
        self.process.start()

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    def poll(self) -> int | None:
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, timeout: float = 300) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutExpired(str(SCRIPT), timeout, output=Path(self.output).read_bytes() if self._written else None)
        return self.process.exitcode

    def communicate(self, timeout: float = 300) -> tuple[str, None]:
        """Wait for the end, and return all that was written."""
        self.wait(timeout)
        text = Path(self.output).read_text()
        Path(self.output).unlink()
        return text, None


def _run(script: str, arguments: list[str], directory: str, environment: dict[str, str], output: str) -> None:
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the server may be deaf to it (mfv.fork_server)
    os.environ.clear()
    os.environ.update(environment)
    if "OMP_NUM_THREADS" in environment:  # the server's libraries have read it already
        torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    os.chdir(directory)
    terminal = os.open(output, os.O_RDWR | os.O_CREAT | os.O_APPEND)
    for number in (0, 1, 2) if os.isatty(terminal) else (1, 2):
        os.dup2(terminal, number)
    sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
    sys.argv = [script, *arguments]
    sys.path[:0] = [str(Path(script).parent), *environment.get("PYTHONPATH", "").split(os.pathsep)]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
