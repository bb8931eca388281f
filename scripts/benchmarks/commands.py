"""The command line: --help, mistakes, the default run."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import ROOT, Bench, Row, timed


def command(bench: Bench) -> list[Row]:
    """Time --help, a mistake and the default run."""
    run = [sys.executable, str(ROOT / "run.py")]
    rows = []
    for name, arguments in {
        "--help": ["--help"],
        "a mistake": ["facet=4"],
        "an unknown preset": ["render=fst"],
        "facets=0": ["facets=0"],
        "a value that cannot be": ["select.by=some"],
        "a number beyond its limits": ["render.regularizers.tv.every=0"],
        "an unknown folder": ["data=folder", "data.root=/no/such/folder"],
        "an unknown layer": ["layer=nope"],
        "an unknown unit": ["layer=classifier.1", "unit=nosuch"],
    }.items():
        with tempfile.TemporaryDirectory() as folder:
            asked = [*run, *arguments, *([] if name == "--help" else [f"hydra.run.dir={folder}/run"])]
            seconds = statistics.median(timed(lambda a=asked: call(a)) for _ in range(bench.rounds))  # type: ignore[misc]
        rows.append(Row("command", name, value=seconds, unit="s"))
    with tempfile.TemporaryDirectory() as folder:
        seconds = timed(lambda: call([*run, f"hydra.run.dir={folder}/run", f"store.root={folder}/store"]))
        timing = json.loads((Path(folder) / "run" / "facets.json").read_text(encoding="utf-8"))["timing"]
    outside = f"{seconds - timing['render']:.1f} s outside rendering"
    rows.append(Row("command", "the default run", value=seconds, unit="s", note=outside))
    return rows


def call(command: Sequence[str]) -> None:
    """Run a command and be silent about it."""
    subprocess.run(command, capture_output=True, check=False, cwd=ROOT)
