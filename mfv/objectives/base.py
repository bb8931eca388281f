"""What an objective is: a value per image, to be maximized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from mfv.errors import MfvError
from mfv.joining import bound_to, joined
from mfv.limits import Checked
from mfv.schedules import Schedule, value_at


class Subject(Protocol):
    """The unit and its facets, as an objective that is about to be optimized may ask for them."""

    layer: str  # the unit's
    index: int  # the unit's
    position: str | None  # where in a map its value is read
    is_class: bool  # whether the unit is one of the network's outputs
    facets: int  # how many
    pixels: Tensor  # (n, 3, H, W) uint8, the unit's images as the network is shown them

    def codes(self, layer: str) -> Tensor:
        """Return a layer's mean activation (n, d) for each of the unit's images, also of "codes" and "middle"."""
        ...

    def assignment(self) -> Tensor:
        """Return the facet of each of the unit's images (n,)."""
        ...

    def activations(self) -> Tensor:
        """Return the unit's value on each of its images (n,)."""
        ...

    def layer_name(self, layer: str) -> str:
        """Return the network's name for a layer, for "codes" and "middle" too."""
        ...

    def reduced(self, layer: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return function(activation), (n, d), of each of the unit's images; the maps themselves are not kept."""
        ...

    def facet_means(self, layer: str, function: Callable[[Tensor], Tensor]) -> Tensor:
        """Return the mean of function(activation) over each facet's images, (k, d); zeros for an empty one."""
        ...


class Objective(Checked, nn.Module):
    """A value per image, to be maximized.

    An objective is made with plain arguments and then bound to a unit: `bind` returns a copy that
    holds what it needs of the unit's images, as buffers.
    """

    layers: tuple[str, ...] = ()  # whose activations `forward` wants
    between_layers = False  # whether `forward` takes gradients of one layer's activations with respect to another's

    def bind(self, subject: Subject) -> Objective:
        """Return the objective for this unit and its facets."""
        raise MfvError(
            f"{type(self).__name__} does not say how it is bound to a unit: give it a method bind(self, subject), "
            "which returns self where it needs nothing of the unit's images"
        )

    def joined(self, bound: Sequence[Any], facets: int) -> Objective | None:
        """Return one objective for the images of several units at once; None where each is to be asked for its own.

        On a GPU a step of many units then takes no more launches than one of a single unit. What it gives for an
        image is what the unit's own objective gives, to the bit on a CPU.

        Args:
            bound: the units' objectives, of this class, with these settings and layers, this one first.
            facets: how many each unit has. `forward` is then given facets that are numbered through: the first
                unit's, then the second's.

        """
        return None

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the value of each image (n,).

        Args:
            activations: by layer, of the images.
            facets: (n,) the facet each image stands for.
            progress: the share of all steps already made, 0–1.

        """
        raise NotImplementedError(f"{type(self).__name__} does not say what it values")


def checked(values: Any, count: int, name: str) -> Tensor:
    """Return an objective's values of `count` images; `MfvError` where they are not one for each, (n,)."""
    if not isinstance(values, Tensor) or values.shape != (count,):
        given = tuple(values.shape) if isinstance(values, Tensor) else f"a {type(values).__name__}"
        raise MfvError(
            f"{name} gives {given} for {count} images: a value for each, (n,), is asked for; where it takes a mean or "
            "a sum, leave out the first dimension"
        )
    return values


class WeightedSum(Objective):
    """Σ weight·objective: several aims at once.

    Args:
        objectives: what is summed.
        weights: one per objective; numbers, or schedules over the whole optimization.

    """

    def __init__(self, objectives: Sequence[Objective], weights: Sequence[float | Schedule]):
        super().__init__()
        if len(objectives) != len(weights):
            raise ValueError(f"{len(objectives)} objectives, but {len(weights)} weights")
        for objective in objectives:
            if "_modules" not in vars(objective):
                raise MfvError(f"{type(objective).__name__}.__init__ is to call super().__init__() first")
        self.objectives = nn.ModuleList(objectives)
        self.weights = tuple(weights)
        self.layers = tuple(dict.fromkeys(layer for objective in objectives for layer in objective.layers))

    def bind(self, subject: Subject) -> WeightedSum:
        """Bind every part."""
        return WeightedSum([bound_to(subject, part, Objective) for part in self._parts()], self.weights)

    def joined(self, bound: Sequence[WeightedSum], facets: int) -> WeightedSum | None:
        """Join every part, where all of them can be."""
        parts = [joined(parts, facets) for parts in zip(*(one._parts() for one in bound), strict=True)]
        found = [part for part in parts if part is not None]
        return WeightedSum(found, self.weights) if len(found) == len(parts) else None

    def forward(self, activations: Mapping[str, Tensor], facets: Tensor, progress: float) -> Tensor:
        """Return the weighted sum (n,)."""
        values = [
            value_at(weight, round(progress * 1000), 1001)
            * checked(part(activations, facets, progress), len(facets), type(part).__name__)
            for weight, part in zip(self.weights, self._parts(), strict=True)
        ]
        total = values[0]
        for value in values[1:]:
            total = total + value
        return total

    def _parts(self) -> list[Objective]:
        return [part for part in self.objectives if isinstance(part, Objective)]
