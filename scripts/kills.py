"""Kill runs at random moments, let them go on, and compare what they leave with an unbroken run's.

    python scripts/kills.py --count 20

Every run is a small one of `run.py` on the photographs that ship with mfv, in a folder of its own with a store of its
own. It is killed (SIGKILL, so that nothing can be tidied up) at a moment drawn evenly over the unbroken run's time from
its first stage on, and its command is given again. Printed per kill: when and in which stage it fell, whether
facets.json (but for its timing) and the images' tensors are the unbroken run's, and how many of the store's shards that
were there were written again. Exit status 1 where one differs.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SMALL = [
    "data.photos=[coffee,cat,rocket]", "facets=3", "render.iterations=40", "checkpoint_every=5", "snapshot_every=10",
    "machine.progress=false",
]  # fmt: skip
STAGES = ("collect", "select", "discover", "render", "evaluate", "judge")


@dataclass(frozen=True)
class Left:
    """What a finished run leaves."""

    document: dict[str, Any]  # facets.json without its timing
    images: bytes  # facets.safetensors


def main(arguments: Sequence[str] | None = None) -> int:
    """Kill and compare; 1 where a run ended differently."""
    commands = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_argument("--count", type=int, default=20, help="kills")
    commands.add_argument("--seed", type=int, default=0, help="of the moments")
    options = commands.parse_args(arguments)
    if options.count < 1:
        commands.error(f"--count is {options.count}; it is a number of kills, at least 1")
    moments = random.Random(options.seed)
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        begun = time.monotonic()
        process = start(whole)
        wait_for(whole, process, STAGES[0])
        first = time.monotonic() - begun
        process.wait()
        last = time.monotonic() - begun
        expected = left_by(whole)
        print(f"unbroken: {last:.1f} s, the first stage after {first:.1f} s", flush=True)
        for number in range(options.count):
            broken = Path(folder) / f"broken{number}"
            process = start(broken)
            wait_for(broken, process, STAGES[0])
            after = moments.uniform(0, last - first)
            time.sleep(after)
            alive = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
            stage, shards = stage_of(broken), shards_of(broken)
            start(broken).wait()
            again = sum(shards_of(broken).get(path) != state for path, state in shards.items())
            same = left_by(broken) == expected
            wrong += not same or again > 0
            print(
                f"kill {number + 1}: {after:.1f} s into the stages, {'in ' + stage if alive else 'after the end'}: "
                f"{'the same' if same else 'DIFFERENT'}; {len(shards)} shards were there, {again} written again",
                flush=True,
            )
    print(f"{options.count - wrong} of {options.count} ended as the unbroken run")
    return 1 if wrong else 0


def start(folder: Path) -> subprocess.Popen:
    """Start a run, or go on with the one in the folder."""
    folder.mkdir(exist_ok=True)
    command = [
        sys.executable, str(ROOT / "run.py"), *SMALL, f"hydra.run.dir={folder}/run", f"store.root={folder}/store",
    ]  # fmt: skip
    log = (folder / "log.txt").open("a")
    return subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT, env={**os.environ, "PYTHONUNBUFFERED": "1"})


def wait_for(folder: Path, process: subprocess.Popen, stage: str) -> None:
    """Wait until a stage begins."""
    while f"{stage} …" not in (folder / "log.txt").read_text():
        if process.poll() is not None:
            raise SystemExit(f"the run ended before {stage}:\n{(folder / 'log.txt').read_text()}")
        time.sleep(0.05)


def stage_of(folder: Path) -> str:
    """Return the stage that a run was in."""
    text = (folder / "log.txt").read_text()
    return max(STAGES, key=lambda stage: text.rfind(f"{stage} …"))


def shards_of(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return the store's shards, each with what changes when it is written again."""
    found = {path: path.stat() for path in (folder / "store").glob("*/shard_*.safetensors")}
    return {path: (state.st_ino, state.st_mtime_ns) for path, state in found.items()}


def left_by(folder: Path) -> Left:
    """Return what a run left."""
    document = json.loads((folder / "run" / "facets.json").read_text(encoding="utf-8"))
    document.pop("timing")
    return Left(document, (folder / "run" / "facets.safetensors").read_bytes())


if __name__ == "__main__":
    sys.exit(main())
