"""Many units in one batch against one unit's batch of the same size."""

from __future__ import annotations

import statistics

import numpy as np
import torch
from torch import Tensor

from benchmarks.bench import Bench, Row, timed
from mfv.models.units import unit_count
from mfv.rendering import ActivationMaximizer, Recipe, UnitPart, UnitSubject, bound_part

UNITS, FACETS, AT_ONCE = 16, 4, 8  # of a wave; images of a pass


def layer(bench: Bench) -> list[Row]:
    """Time steps of a wave, sixteen units of four facets, in turn with one unit's images, in passes as large.

    Both make a step of as many images: the wave's are 64 in eight passes, the unit's its own eight, eight times.
    """
    recipe = bench.recipe("fast", f"render.iterations={8 * bench.rounds}", f"render.batch_size={AT_ONCE}")
    count = unit_count(bench.model, bench.layer)
    wanted = [int(unit) for unit in np.linspace(0, count - 1, UNITS)]
    parts, starts = zip(*(part_of(bench, recipe, unit, FACETS) for unit in wanted), strict=True)
    single, start = part_of(bench, recipe, wanted[0], AT_ONCE)
    wave = ActivationMaximizer(bench.model, parts, torch.cat(starts))
    alone = ActivationMaximizer(bench.model, [single], start)
    optimizers = [each.recipe.make_optimizer(each.canvas) for each in (wave, alone)]
    repeats = UNITS * FACETS // AT_ONCE
    turns = []
    done = 0
    for _ in range(bench.rounds):

        def waves(first: int = done) -> None:
            for step in (first, first + 1):
                wave.step(optimizers[0], step)

        def units(first: int = done) -> None:
            for step in (first, first + 1):
                for _ in range(repeats):
                    alone.step(optimizers[1], step)

        turns.append((timed(waves), timed(units)))
        done += 2
    ratio = statistics.median(unit / many for many, unit in turns)
    images = 2 * UNITS * FACETS
    value = 1e3 * statistics.median(many for many, _ in turns) / images
    note = f"{UNITS} units × {FACETS} facets, {AT_ONCE} images a pass"
    return [Row("layer", "throughput of many units", ratio, "one unit's", value, "ms per image and step", note)]


def part_of(bench: Bench, recipe: Recipe, unit: int, facets: int) -> tuple[UnitPart, Tensor]:
    """Return a unit's share of a wave, with photographs dealt out to its facets, and the starts."""
    subject, starts = bench.subject(facets)
    own = UnitSubject(
        bench.model,
        bench.layer,
        unit,
        None,
        subject.pixels,
        subject.assignment().numpy(),
        subject.activations().numpy(),
    )
    return bound_part(recipe, own, facets), starts
