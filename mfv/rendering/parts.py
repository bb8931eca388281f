"""Units whose images are optimized in one batch: each with its own objective and whatever else is bound to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from mfv.joining import joined
from mfv.objectives.base import Objective
from mfv.rendering.octave import Recipe


@dataclass(frozen=True)
class UnitPart:
    """A unit's share of a batch.

    Attributes:
        recipe: with what its regularizers and parameterization hold of the unit's images (`Recipe.bind`).
        objectives: one per octave, bound to the unit.
        facets: (m,) the facet that each of its images stands for.
        watch: the bound objective whose value the curves show; by default what is maximized.
        known: how many facets what is bound knows; None: it is not to be joined with others'.
        numbers: (m,) which of these each image stands for: its facet, but of several units numbered through.

    """

    recipe: Recipe
    objectives: Sequence[Objective]
    facets: Tensor
    watch: Objective | None = field(default=None)
    known: int | None = None
    numbers: Tensor = field(default=None)  # type: ignore[assignment]  # by default the facets

    def __post_init__(self) -> None:
        if self.numbers is None:
            object.__setattr__(self, "numbers", self.facets)

    def of(self, rows: Tensor) -> UnitPart:
        """Return the part with some of its images."""
        return replace(self, facets=self.facets[rows], numbers=self.numbers[rows])

    def valued(self, octave: int) -> list[Objective]:
        """Return an octave's objective, and what is watched."""
        return [self.objectives[octave], *([self.watch] if self.watch else [])]


T = TypeVar("T")


def joined_parts(parts: Sequence[UnitPart]) -> list[UnitPart]:
    """Return fewer parts for the same images: neighbours with as many facets as one, where all that is bound allows it.

    On a GPU a step takes launches for each part, thousands with many units; of joined ones as many as of one.
    """
    found = []
    for known, group in groupby(parts, key=lambda part: part.known):
        alike = list(group)
        one = _joined(alike, known) if known and len(alike) > 1 else None
        found += [one] if one else alike
    return found


def _joined(parts: Sequence[UnitPart], known: int) -> UnitPart | None:
    recipe = parts[0].recipe.joined([part.recipe for part in parts])
    watches = [part.watch for part in parts if part.watch]
    valued = [list(some) for some in zip(*(part.objectives for part in parts), strict=True)]
    if watches:
        valued.append(watches)
    alike = all(one.layers == some[0].layers for some in valued for one in some) and len(watches) in (0, len(parts))
    found = [joined(some, known) for some in valued] if alike else []
    objectives = [objective for objective in found if objective is not None]
    if recipe is None or len(objectives) < len(valued):
        return None
    numbers = torch.cat([part.numbers + number * known for number, part in enumerate(parts)])
    watch = objectives.pop() if watches else None
    return UnitPart(recipe, objectives, torch.cat([part.facets for part in parts]), watch, None, numbers)


class Parts:
    """The units of a batch, in the order of its images: what belongs to a unit is asked of it, with its own images.

    What all units share (most regularizers, the parameterization by pixels) sees the whole batch at once.
    """

    def __init__(self, parts: Sequence[UnitPart]):
        self.parts = [part for part in parts if len(part.facets)] or list(parts[:1])
        sizes = torch.tensor([len(part.facets) for part in self.parts])
        self._ends = sizes.cumsum(0).tolist()

    @property
    def recipe(self) -> Recipe:
        """The first unit's recipe: its numbers are all units'."""
        return self.parts[0].recipe

    @property
    def facets(self) -> Tensor:
        """The facets of all images (n,)."""
        return torch.cat([part.facets for part in self.parts])

    @property
    def numbers(self) -> Tensor:
        """Which of the facets that its part knows each image stands for (n,)."""
        return torch.cat([part.numbers for part in self.parts])

    def within(self, rows: slice) -> list[tuple[UnitPart, slice]]:
        """Return the units of some rows, each with its rows."""
        start, stop, _ = rows.indices(self._ends[-1])
        found, first = [], 0
        for part, end in zip(self.parts, self._ends, strict=True):
            own = slice(max(start, first), min(stop, end))
            if own.start < own.stop:
                found.append((part, own))
            first = end
        return found

    def layers(self, octave: int, watched: bool = True) -> list[str]:
        """Return the layers whose activations an octave's objectives want; by default those of what is watched too."""
        valued = [each for part in self.parts for each in part.valued(octave)[: None if watched else 1]]
        return list(dict.fromkeys(layer for objective in valued for layer in objective.layers))

    def values(
        self, octave: int, rows: slice, activations: Mapping[str, Tensor], facets: Tensor, progress: float
    ) -> tuple[Tensor, Tensor]:
        """Return what is maximized of each image, and what is watched, (n,) each; n may be more than the rows."""
        parts = self.within(rows)
        if len(parts) == 1:
            return _values(parts[0][0], octave, activations, facets, progress)
        found = []
        for part, own in parts:
            local = slice(own.start - parts[0][1].start, own.stop - parts[0][1].start)
            some = {layer: activation[local] for layer, activation in activations.items()}
            found.append(_values(part, octave, some, facets[local], progress))
        maximized, watched = zip(*found, strict=True)
        return torch.cat(maximized), torch.cat(watched)

    def each(
        self, rows: slice, tensor: Tensor, choose: Callable[[UnitPart], T], apply: Callable[[T, Tensor, slice], Tensor]
    ) -> Tensor:
        """Return apply(choose(unit), its images, its rows) of all units; at once where all choose the same.

        Args:
            rows: of all images.
            tensor: (n, …) these images.
            choose: what of a unit is asked.
            apply: how, given that, some images, and which they are.

        """
        parts = self.within(rows)
        chosen = [choose(part) for part, _ in parts] or [choose(self.parts[0])]
        if all(one is chosen[0] for one in chosen):
            return apply(chosen[0], tensor, rows)
        first = parts[0][1].start
        return torch.cat(
            [
                apply(one, tensor[own.start - first : own.stop - first], own)
                for one, (_, own) in zip(chosen, parts, strict=True)
            ]
        )


def _values(
    part: UnitPart, octave: int, activations: Mapping[str, Tensor], facets: Tensor, progress: float
) -> tuple[Tensor, Tensor]:
    values = part.objectives[octave](activations, facets, progress)
    return values, part.watch(activations, facets, progress) if part.watch else values


def own_parts(parts: Sequence[UnitPart], rows: Tensor) -> list[UnitPart]:
    """Return the parts with the images of a process: of all parts' images in a row, those at `rows` (ascending)."""
    found, first = [], 0
    for part in parts:
        local = rows[(rows >= first) & (rows < first + len(part.facets))] - first
        found.append(part.of(local))
        first += len(part.facets)
    return found
