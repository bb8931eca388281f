"""How fast mfv is: every figure a ratio of things timed in turn, in one run.

    python scripts/benchmark.py                       # all parts, on the photographs that ship with it
    python scripts/benchmark.py step peers --on data=folder data.root=/photos unit=498 --out outputs/benchmark

step: a step of every preset against the bare gradient. layer: many units' facets in one batch against one unit's.
peers: other programs, in an environment of their own that this script makes (they need the package registry).
recognize: the same, until a second network recognizes the pictures. extract: collecting against decoding and the
forward pass. discover: FAISS and PCA against scikit-learn. growth: with facets, image size and codes, and peak memory.
command: --help, mistakes and the default run. starts: processes that a stage starts. device: a step on a GPU, where
there is one. Prints one table; writes benchmark.md and benchmark.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported, as the command line does

import torch
from benchmarks.bench import Bench, Row, make_bench
from benchmarks.clustering import discovery
from benchmarks.collecting import extraction
from benchmarks.commands import command
from benchmarks.device import device
from benchmarks.growth import growth, only
from benchmarks.layer import layer
from benchmarks.programs import peers, recognition
from benchmarks.starts import starts
from benchmarks.step import steps

from mfv.memory import keep_freed_memory

PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "step": steps,
    "peers": peers,
    "recognize": recognition,
    "extract": extraction,
    "discover": discovery,
    "growth": growth,
    "layer": layer,
    "command": command,
    "starts": starts,
    "device": device,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for and write the table."""
    commands = parser()
    options = commands.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        commands.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if "device" in options.parts and not torch.accelerator.is_available():
        commands.error("device: this machine has no GPU that PyTorch sees")
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    bench = make_bench(options)
    if options.only:
        kind, count, width = options.only
        print(json.dumps(only(bench, kind, int(count), int(width))))
        return 0
    rows: list[Row] = []
    everything = [part for part in PARTS if part != "device" or torch.accelerator.is_available()]
    for part in options.parts or everything:
        print(f"{part} …", file=sys.stderr, flush=True)
        for row in PARTS[part](bench):
            rows.append(row)
            print(markdown([row], header=len(rows) == 1), flush=True)
            save(options, rows)
    return 0


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    commands = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_argument("parts", nargs="*", default=[], help=f"of {', '.join(PARTS)}; by default all")
    commands.add_argument("--on", nargs="*", default=[], help="overrides: model=… data=… layer=… unit=…")
    commands.add_argument("--images", type=int, default=10, help="in a batch")
    commands.add_argument("--rounds", type=int, default=7, help="measurements of each thing; their median counts")
    commands.add_argument("--threads", type=int, default=0, help="of PyTorch; by default its own choice")
    commands.add_argument("--out", type=Path, default=Path("outputs/benchmark"))
    commands.add_argument("--only", nargs=3, help=argparse.SUPPRESS)  # what a process of its own does for `growth`
    return commands


def markdown(rows: Sequence[Row], header: bool = True) -> str:
    """Return the rows as a Markdown table."""
    lines = ["| part | what | ratio | to | value | | |", "|---|---|---|---|---|---|---|"] if header else []
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        value = "" if row.value is None else f"{row.value:.3g}"
        lines.append(f"| {row.part} | {row.what} | {ratio} | {row.of} | {value} | {row.unit} | {row.note} |")
    return "\n".join(lines)


def save(options: argparse.Namespace, rows: Sequence[Row]) -> None:
    """Write the rows so far, and the machine they were measured on."""
    machine = {
        "date": time.strftime("%Y-%m-%d"),
        "threads": torch.get_num_threads(),
        "processor": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }
    document = {"machine": machine, "rows": [asdict(row) for row in rows]}
    (options.out / "benchmark.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (options.out / "benchmark.md").write_text(markdown(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
