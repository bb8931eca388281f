"""A step on this machine's GPU against the bare gradient there: three networks, three sizes of the batch."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from hydra.utils import instantiate

from benchmarks.bench import TURN, Bench, Row, repeated, wait
from benchmarks.step import Loop, gradient_of, shown, thinned
from mfv.machine import Machine
from mfv.models.acceleration import Acceleration
from mfv.models.passes import fastest_pass, plain_pass
from mfv.models.preparation import prepare

# Each network's classes, and the weights: a step takes as long without, and only MobileNetV2's need no server.
NETWORKS = {"mobilenet_v2": ("classifier.1", "IMAGENET1K_V1"), "resnet50": ("fc", "none"), "alexnet": ("fc8", "none")}
BATCHES = (10, 64, 256)
LAST, FIRST = "channels_last", "channels_first"
VARIANTS = {  # of the preset fast, by what may make its passes faster; as in a long rendering, but for the second
    "fast": Acceleration(layout=LAST),
    "fast, channels first": Acceleration(layout=FIRST),
    "fast, float16": Acceleration("float16", layout=LAST),
    "fast, compiled": Acceleration(compile=True, layout=LAST),
    "fast, float16, compiled": Acceleration("float16", compile=True, layout=LAST),
}
COMPILED = {("mobilenet_v2", 256)}  # where compiling is tried: it takes a quarter of a minute each time
CHANNELS_FIRST = {"mobilenet_v2"}  # where that is what a short rendering takes


def device(bench: Bench) -> list[Row]:
    """Time `fast` and the bare gradient of the same prepared network and batch in turn."""
    rows = []
    for name, (layer, weights) in NETWORKS.items():
        settings = bench.config(f"model={name}", f"model.weights={weights}", f"layer={layer}")
        model = instantiate(settings.model, _convert_="all").to(Machine().device)
        own = replace(bench, model=model, layer=model.canonical(layer), unit=281)
        for images in BATCHES:
            rows += of_batch(own, images, f"{name}, {images} images")
    return rows


def of_batch(bench: Bench, images: int, title: str) -> list[Row]:
    """Return the rows of a network and a size of the batch."""
    place = bench.model.mean.device
    prepared, pixels = prepare(bench.model, keep=[bench.layer]), shown(bench, images)
    fastest = fastest_pass(prepared, [bench.layer], pixels, Acceleration())
    actions: dict[str, Callable[[], None]] = {
        "bare gradient": gradient_of(bench, plain_pass(prepared, [bench.layer]), pixels),
        "bare gradient, as a graph where that is faster": gradient_of(bench, fastest, pixels),
    }
    recipe = thinned(bench.recipe("fast"), TURN * (bench.rounds + 2))
    peaks = {}
    for variant, acceleration in VARIANTS.items():
        if acceleration.compile and (bench.model.name, images) not in COMPILED:
            continue
        if acceleration.layout == LAST or bench.model.name in CHANNELS_FIRST:
            loop = Loop(bench, recipe, images, acceleration=acceleration)
            peaks[variant] = peak(loop, place)
            actions[variant] = loop
    for action in actions.values():
        action()
    turns = [{name: repeated(action, place) for name, action in actions.items()} for _ in range(bench.rounds)]
    rows = []
    for name in actions:
        ratio = statistics.median(turn[name] / turn["bare gradient"] for turn in turns)
        rate = images / statistics.median(turn[name] for turn in turns)
        note = f"at most {peaks[name] / 1e9:.1f} GB" if name in peaks else ""
        rows.append(Row("device", f"{title}: {name}", ratio, "bare gradient", rate, "images/s", note))
    return rows


def peak(loop: Loop, place: torch.device) -> int:
    """Return the most bytes that the first turn's steps take, with what they prepare."""
    wait(place)
    torch.accelerator.reset_peak_memory_stats()
    before = torch.accelerator.memory_allocated()
    for _ in range(TURN):
        loop()
    wait(place)
    return torch.accelerator.max_memory_allocated() - before
