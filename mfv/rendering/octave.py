"""A recipe for rendering: octaves, each with its schedule, regularizers and objective."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from mfv.errors import MfvError
from mfv.joining import bound_to, joined
from mfv.objectives.base import Objective, Subject
from mfv.objectives.unit import UnitActivation
from mfv.parameterizations import Parameterization, Pixels
from mfv.regularizers.base import Regularizer
from mfv.rendering.checks import AUTO, NOISE, check_octave, check_recipe
from mfv.schedules import Schedule, value_at


@dataclass(frozen=True)
class Octave:
    """A phase of the optimization with settings of its own (PAPER.md, part 2).

    Attributes:
        iterations: its number of steps.
        step: how far a pixel moves on average, in grey levels (0–255); other parameters in their
            own unit (`Parameterization.step_unit`). May follow a schedule.
        scale: the canvas's side over the network's input: the canvas is enlarged when it grows.
        jitter: the spread of the network's view on a larger canvas, as a share of the room that
            there is; None keeps the view centred.
        objective: what is maximized.
        regularizers: applied in this order.
        normalize: whether each image's gradient is divided by its mean absolute value; else a step
            is as long as the gradient is large.

    """

    iterations: int
    step: float | Schedule = 1.0
    scale: float = 1.0
    jitter: float | None = None
    objective: Objective = field(default_factory=UnitActivation)
    regularizers: tuple[Regularizer, ...] = ()
    normalize: bool = True

    def __post_init__(self) -> None:
        check_octave(self.iterations, self.step, self.scale)
        object.__setattr__(self, "regularizers", tuple(self.regularizers))

    def canvas_size(self, input_size: int) -> int:
        """Return the canvas's side in pixels (227 × 1.2 → 272, 227 × 1.44 → 326, as in the paper)."""
        return math.floor(input_size * self.scale + 1e-6)


@dataclass(frozen=True)
class Recipe:
    """How images are rendered.

    Attributes:
        octaves: the phases, in order.
        start: "mean" (the facet's mean image), "contrast" (the same, at its photographs' contrast), "noise",
            "image" (the facet's nearest image) or "gray" (the model's mean colour everywhere: zero for the network).
        noise: mean and standard deviation of the noise start, in grey levels; None for the mean
            takes the model's mean colour.
        optimizer: "sgd" (the gradient, with momentum) or "adam".
        momentum: of the gradient, 0–1.
        parameterization: what the optimizer moves to change the image.
        average: the share (0–1) of the last octave's steps whose images are averaged into the result; 0 takes
            the last image as it is. What every step repaints at random cancels out, what all agree on stays
            (Polyak & Juditsky 1992).
        batch_size: images that pass through the network at once; "auto" for as many as fit
            (`mfv.rendering.batching`). It changes time and memory, not the images.

    """

    octaves: tuple[Octave, ...]
    start: str = "mean"
    noise: Sequence[float | None] = NOISE
    optimizer: str = "sgd"
    momentum: float = 0.0
    parameterization: Parameterization = field(default_factory=Pixels)
    average: float = 0.0
    batch_size: int | str = AUTO

    def __post_init__(self) -> None:
        check_recipe(self.start, self.noise, self.optimizer, self.momentum, self.average, self.batch_size)
        object.__setattr__(self, "octaves", tuple(self.octaves))
        object.__setattr__(self, "noise", tuple(self.noise))
        if not self.octaves:
            raise MfvError("a recipe needs at least one octave")
        if not isinstance(self.parameterization, Parameterization):
            raise MfvError(f"render.parameterization is {self.parameterization!r}, not a Parameterization")

    @property
    def steps(self) -> int:
        """The number of steps in all octaves."""
        return sum(octave.iterations for octave in self.octaves)

    @property
    def averaged_steps(self) -> int:
        """The number of steps at the end whose images make up the result; 0 where the last one does."""
        return round(self.average * self.octaves[-1].iterations)

    def place(self, step: int) -> tuple[int, int]:
        """Return the octave's index and the iteration within it for a step of the whole, both from 0."""
        for index, octave in enumerate(self.octaves):
            if step < octave.iterations:
                return index, step
            step -= octave.iterations
        raise IndexError(f"the recipe has {self.steps} steps")

    def bind(self, subject: Subject) -> Recipe:
        """Return the recipe whose parameterization and regularizers hold what they need of the unit's images."""
        parts = {id(part): part for octave in self.octaves for part in octave.regularizers}
        bound = {name: bound_to(subject, part, Regularizer) for name, part in parts.items()}
        octaves = [
            replace(octave, regularizers=tuple(bound[id(part)] for part in octave.regularizers))
            for octave in self.octaves
        ]
        own = bound_to(subject, self.parameterization, Parameterization)
        return replace(self, octaves=tuple(octaves), parameterization=own)

    def joined(self, recipes: Sequence[Recipe]) -> Recipe | None:
        """Return one recipe for the images of several units, this one's first; None where each is to have its own."""
        if any(recipe.parameterization is not self.parameterization for recipe in recipes):
            return None
        octaves = []
        for octave, *others in zip(*(recipe.octaves for recipe in recipes), strict=True):
            found = []
            for own, *rest in zip(octave.regularizers, *(other.regularizers for other in others), strict=True):
                one = own if all(other is own for other in rest) else joined([own, *rest])
                if one is None:
                    return None
                found.append(one)
            octaves.append(replace(octave, regularizers=tuple(found)))
        return replace(self, octaves=tuple(octaves))

    def step_size(self, step: int) -> float:
        """Return how long a step of the whole is, in the parameters' own unit."""
        index, iteration = self.place(step)
        octave = self.octaves[index]
        return value_at(octave.step, iteration, octave.iterations) * self.parameterization.step_unit

    def make_optimizer(self, canvas: torch.nn.Parameter) -> torch.optim.Optimizer:
        """Return the optimizer; the maximizer sets its step size at every step."""
        if self.optimizer == "adam":
            return torch.optim.Adam([canvas], lr=1.0, betas=(self.momentum, 0.999), maximize=True, fused=True)
        return torch.optim.SGD(
            [canvas], lr=1.0, momentum=self.momentum, dampening=self.momentum, maximize=True, fused=True
        )
