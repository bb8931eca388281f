"""How a step and discovery grow, and their peak memory: each in a process of its own."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from benchmarks.bench import ROOT, TURN, Bench, Row, repeated, timed
from benchmarks.clustering import clustered
from benchmarks.step import Loop, bare_gradient, thinned
from mfv.discovery.partition import kmeans
from mfv.memory import peak_memory


def growth(bench: Bench) -> list[Row]:
    """Time a step of `fast` and discovery as they grow, each in a process of its own for its peak memory."""
    size = bench.model.input_size
    jobs = [("step", count, size) for count in (1, 10, 30, 100)]
    jobs += [("step", bench.images, side) for side in (128, 448)]
    jobs += [("steps", count, size) for count in (24, 48, 96)]
    jobs += [("kmeans", count, 1280) for count in (1000, 5000, 50000)]
    names = {"step": "step, {} facets of {} px", "steps": "{} steps of {} px", "kmeans": "k-means, {:,} codes × {:,}"}
    rows = []
    for kind, count, width in jobs:
        command = [sys.executable, str(ROOT / "scripts" / "benchmark.py"), "--only", kind, str(count), str(width)]
        settings = ["--on", *bench.on, "--out", str(bench.out), "--images", str(bench.images)]
        done = subprocess.run([*command, *settings], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        note = f"peak {found['peak']:.0f} MB, {found['before']:.0f} MB of it before"
        of = "bare gradient of ten" if kind != "kmeans" else ""
        unit = "ms an image" if kind == "kmeans" else "ms per image and step"
        what = names[kind].format(count, width)
        rows.append(Row("growth", what, found["ratio"], of, 1e3 * found["seconds"], unit, note))
    return rows


def only(bench: Bench, kind: str, count: int, width: int) -> dict[str, float | None]:
    """Do one thing of `growth`.

    Args:
        bench: what it works on.
        kind: "step" (of `count` images), "steps" (a loop of `count`, all of them timed), "kmeans" (of `count` codes).
        count: see above.
        width: the images' side, or the codes' length.

    Returns:
        Its seconds per image (and step), their ratio to a bare gradient of ten, the process's peak memory in MB, and
        what it was before.

    """
    if kind == "kmeans":
        codes = clustered(count, width, 40)
        before = peak_memory()
        seconds = timed(lambda: kmeans(codes, 10, 0)) / count
        return {"seconds": seconds, "ratio": None, "before": before, "peak": peak_memory()}
    images, steps = (count, 3 * TURN) if kind == "step" else (bench.images, count)
    loop = Loop(bench, thinned(bench.recipe("fast"), steps), images, width)
    before = peak_memory()
    turns = [repeated(loop) for _ in range(steps // TURN)]
    peak = peak_memory()
    bare = bare_gradient(bench, 10)
    bare()
    base = statistics.median(timed(bare) for _ in range(4)) / 10
    seconds = (statistics.median(turns[1:]) if kind == "step" else statistics.mean(turns)) / images
    return {"seconds": seconds, "ratio": seconds / base, "before": before, "peak": peak}
