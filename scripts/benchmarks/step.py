"""A step of every preset against the bare gradient of the same network and batch."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.bench import TURN, Bench, Row, repeated, timed
from mfv.models.acceleration import Acceleration
from mfv.models.passes import Pass, plain_pass
from mfv.models.preparation import prepare
from mfv.rendering import Recipe, render

PRESETS = (
    "fast", "best", "mean_image", "center_bias", "simonyan", "yosinski", "mahendran", "oygard", "wei", "lucid", "maco",
)  # fmt: skip
NEAR = {"fast": 3, "best": 3}  # to their limits: measured so many times as often as the others


def steps(bench: Bench) -> list[Row]:
    """Time steps of every preset, six at a time, in turn with the bare gradient.

    The recipes are thinned, all octaves in proportion.
    """
    bare = bare_gradient(bench, bench.images)
    counts = {preset: TURN * bench.rounds * NEAR.get(preset, 1) for preset in PRESETS}
    loops = {preset: Loop(bench, thinned(bench.recipe(preset), count)) for preset, count in counts.items()}
    for _ in range(3):
        bare()
    seconds: dict[str, list[tuple[int, float, float]]] = {preset: [] for preset in loops}
    while any(not loop.finished for loop in loops.values()):
        for preset, loop in loops.items():
            if not loop.finished:
                octave = loop.maximizer.recipe.place(loop.done)[0]
                base = repeated(bare)
                seconds[preset].append((octave, base, repeated(loop)))
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
    return gradient_of(bench, plain_pass(prepared, [bench.layer]), shown(bench, images))


def shown(bench: Bench, images: int) -> Tensor:
    """Return photographs as a pass takes them, where the network is."""
    return bench.pixels(images).to(bench.model.mean.device).contiguous(memory_format=torch.channels_last)


def gradient_of(bench: Bench, run: Pass, pixels: Tensor) -> Callable[[], None]:
    """Return the gradient of the unit's value with respect to a batch of images, by a pass."""

    def gradient() -> None:
        leaf = pixels.detach().requires_grad_(True)
        values = run(leaf)[bench.layer][:, bench.unit]
        torch.autograd.grad(values.sum(), leaf)

    return gradient


class Loop:
    """A recipe's loop, one step per call."""

    def __init__(
        self,
        bench: Bench,
        recipe: Recipe,
        images: int = 0,
        size: int | None = None,
        acceleration: Acceleration | None = None,
    ):
        self.maximizer = bench.maximizer(recipe, images or bench.images, size, acceleration=acceleration)
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
    """Return the recipe with about so many steps, whole turns of them in each octave."""
    if steps >= recipe.steps:
        return recipe
    share = steps / recipe.steps
    octaves = [
        replace(octave, iterations=TURN * max(1, round(share * octave.iterations / TURN))) for octave in recipe.octaves
    ]
    return replace(recipe, octaves=tuple(octaves))
