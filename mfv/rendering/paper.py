"""The paper's schedules, as published and as its released code computes them (PAPER.md, part 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mfv.errors import MfvError
from mfv.objectives.base import Objective
from mfv.objectives.probability import ClassProbability
from mfv.objectives.unit import UnitActivation
from mfv.regularizers.base import Regularizer
from mfv.regularizers.center_mask import CenterMask
from mfv.regularizers.tv_bregman import TVBregman
from mfv.rendering.checks import AUTO, check_scheme
from mfv.rendering.octave import Octave, Recipe
from mfv.schedules import Linear, Released, Schedule

CAFFENET = 227  # pixels: the side that the paper's margins and canvases refer to
OBJECTIVES: dict[str, Objective] = {"unit": UnitActivation(), "prob": ClassProbability()}


@dataclass(frozen=True)
class PaperOctave:
    """A row of the paper's tables.

    Attributes:
        objective: "unit" (the value before the softmax) or "prob".
        canvas: the side of the canvas for CaffeNet's 227 pixels; scaled to the network's input.
        iterations: steps.
        step: grey levels, first and last.
        tv: the TV weight, first and last.
        window: the spread of the jitter; None for none.
        margin: of the mask, in pixels for an input of 227.

    """

    objective: str
    canvas: int
    iterations: int
    step: tuple[float, float]
    tv: tuple[float, float]
    window: float | None = None
    margin: int = 0


def paper_recipe(
    octaves: Sequence[PaperOctave | dict],
    scheme: str = "reference",
    start: str = "mean",
    batch_size: int | str = AUTO,
) -> Recipe:
    """Return the recipe for a table of octaves.

    Args:
        octaves: the rows.
        scheme: "reference" reproduces what the authors' code computes: its slipped TV weights, a
            step size that stays at its first value where both ends are whole and differ by one
            (integer division), and a step over the masked gradient's mean over ALL pixels.
            "intended" runs linear schedules and takes that mean over the open pixels only.
        start: "mean", "noise" (N(175, 8), the paper's) or "image".
        batch_size: images that pass through the network at once, or "auto" (`Recipe`).

    """
    check_scheme(scheme)
    rows = [row if isinstance(row, PaperOctave) else PaperOctave(**row) for row in octaves]
    return Recipe(tuple(_octave(row, scheme) for row in rows), start=start, batch_size=batch_size)


def _octave(row: PaperOctave, scheme: str) -> Octave:
    if row.objective not in OBJECTIVES:
        raise MfvError(f"an octave's objective is {row.objective!r}; it is one of {', '.join(OBJECTIVES)}")
    margin = row.margin / CAFFENET
    reference = scheme == "reference"
    mask: tuple[Regularizer, ...] = (CenterMask(margin),) if row.margin else ()
    weight: Schedule = Released(*row.tv) if reference else Linear(*row.tv)
    return Octave(
        iterations=row.iterations,
        step=_step(row, margin, reference),
        scale=row.canvas / CAFFENET,
        jitter=row.window,
        objective=OBJECTIVES[row.objective],
        regularizers=(*mask, TVBregman(weight)),
    )


def _step(row: PaperOctave, margin: float, reference: bool) -> float | Schedule:
    first, last = row.step
    if reference and first == last - 1 and float(first).is_integer():
        return float(first)  # (last − first)·i // N is 0 throughout
    if reference:
        return ReleasedStep(first, last) if first != last else first
    open_share = (1 - 2 * margin) ** 2
    return first * open_share if first == last else Linear(first * open_share, last * open_share)


@dataclass(frozen=True)
class ReleasedStep:
    """first + (last − first)·i/N, as the released code computes a step size: it does not reach the last."""

    first: float
    last: float

    def at(self, iteration: int, iterations: int) -> float:
        """Return the step of an iteration."""
        return self.first + (self.last - self.first) * iteration / iterations
