"""What all parts of the benchmark work on, and how a thing is timed."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from torch import Tensor, nn

from mfv.activations.values import as_codes
from mfv.config import register
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.discovery.partition import kmeans
from mfv.models.acceleration import Acceleration
from mfv.models.target import TargetModel
from mfv.models.units import resolve_unit
from mfv.rendering import ActivationMaximizer, Recipe, UnitPart, UnitSubject

ROOT = Path(__file__).resolve().parents[2]
TURN = 6  # steps that are timed together


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
        return torch.stack([preprocess.loaded(self.source, row) / 255 for row in rows])

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
            passes = [self.model.activations(part.to(self.model.mean), layers) for part in shown.split(32)]
            found = torch.cat([maps[self.layer][:, self.unit] for maps in passes]).cpu()
            codes = torch.cat([as_codes(maps[self.model.code_layer]) for maps in passes]).cpu()
        values = found.flatten(1).amax(1) if found.ndim > 1 else found
        assignment = kmeans(codes.numpy(), images, 0).assignment if count else np.arange(len(shown)) % images
        pixels = (shown * 255).byte()
        starts = torch.stack([shown[assignment == facet].mean(0) for facet in range(images)])
        return UnitSubject(self.model, self.layer, self.unit, None, pixels, assignment, values.numpy()), starts

    def maximizer(
        self,
        recipe: Recipe,
        images: int,
        size: int | None = None,
        count: int | None = None,
        acceleration: Acceleration | None = None,
    ) -> ActivationMaximizer:
        """Return a recipe's loop on the unit, where the network is."""
        subject, starts = self.subject(images, size, count)
        bound = recipe.bind(subject)
        objectives = [octave.objective.bind(subject) for octave in bound.octaves]
        part = UnitPart(bound, objectives, torch.arange(images))
        loop = ActivationMaximizer(self.model, [part], starts, input_size=size, acceleration=acceleration)
        return loop.to(self.model.mean.device)

    def recipe(self, preset: str, *overrides: str) -> Recipe:
        """Return a preset's recipe."""
        return instantiate(self.config(f"render={preset}", *overrides).render, _convert_="all")


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


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given to do."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def timed(action: Callable[[], Any]) -> float:
    """Return how many seconds an action takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def repeated(action: Callable[[], Any], device: torch.device | None = None) -> float:
    """Return how many seconds an action takes, the mean of a turn: what every second or third does counts in full.

    Of a `device` until it has done all.
    """
    begun = time.perf_counter()
    for _ in range(TURN):
        action()
    if device:
        wait(device)
    return (time.perf_counter() - begun) / TURN


def ratios(part: str, turns: Sequence[Mapping[str, float]], base: str, unit: str, scale: float) -> list[Row]:
    """Return a row for each thing that was timed in every turn, against one of them."""
    return [
        Row(
            part, name, statistics.median(turn[name] / turn[base] for turn in turns), base,
            scale * statistics.median(turn[name] for turn in turns), unit,
        )
        for name in turns[0]
    ]  # fmt: skip
