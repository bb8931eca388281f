"""From a layer's activation to its units' values, and to codes."""

import torch
from torch import Tensor

from mfv.errors import MfvError

Position = str | int | tuple[int, int]


def unit_values(activation: Tensor, position: Position | None = None) -> tuple[Tensor, Tensor | None]:
    """Return every unit's value on every image (n, units), and where in the map it is (n, units).

    The layouts:

    - (n, D), neurons: the value itself, and no place.
    - (n, C, H, W), channels: by default "max", the largest over the map; "mean" over the map; the one at
      "center" (H // 2, W // 2); or the one at a place (y, x), also written "y,x". The place is y·W + x,
      and there is none for a mean.
    - (n, T, D), tokens: by default "class", the first token; "max" or "mean" over all tokens; or the token
      of an index, also as a digit string. The place is the token's index, and there is none for a mean.

    Gradients flow through the values.

    Raises:
        MfvError: the layout is another, or has no such position.

    """
    if activation.ndim == 2:
        place = coordinates(position)
        if place is not None and any(place):
            raise MfvError(f"position={position}: a layer of neurons {_shape(activation)} has no positions")
        _known(position, place, ("center", "max", "mean", "class"), activation)
        return activation, None
    if activation.ndim == 4:
        return _map_values(activation, position)
    if activation.ndim == 3:
        return _token_values(activation, position)
    raise MfvError(f"an activation {_shape(activation)} is none of (n, units), (n, C, H, W) and (n, tokens, units)")


def unit_value(activation: Tensor, index: int | Tensor, position: Position | None = None) -> Tensor:
    """Return one unit's value on every image (n,), as `unit_values` gives it, without reading the others'.

    Args:
        activation: of a layer, in one of the layouts of `unit_values`.
        index: the unit's, or (n,) each image's own.
        position: as `unit_values` takes it.

    """
    units = 2 if activation.ndim == 3 else 1
    if isinstance(index, Tensor):
        shape = [1 if dim == units else size for dim, size in enumerate(activation.shape)]
        own = activation.gather(units, index.view(-1, *[1] * (activation.ndim - 1)).expand(shape))
    else:
        own = activation.narrow(units, index, 1)
    return unit_values(own, position)[0][:, 0]


def _map_values(activation: Tensor, position: Position | None) -> tuple[Tensor, Tensor | None]:
    height, width = activation.shape[2:]
    place = coordinates(position)
    if place is not None and len(place) != 2:
        raise MfvError(f"position={position}: a map {_shape(activation)} takes two coordinates, y,x")
    if position == "center":
        place = (height // 2, width // 2)
    _known(position, place, ("max", "mean", "center"), activation)
    if place is not None:
        y, x = place
        if not (0 <= y < height and 0 <= x < width):
            raise MfvError(f"position={position} is outside the map: y is 0–{height - 1}, x is 0–{width - 1}")
        return _at(activation.flatten(2), y * width + x)
    if position == "mean":
        return activation.mean(dim=(2, 3)), None
    values, where = activation.flatten(2).max(dim=2)
    return values, where


def _token_values(activation: Tensor, position: Position | None) -> tuple[Tensor, Tensor | None]:
    count = activation.shape[1]
    place = (0,) if position in (None, "class") else coordinates(position)
    if place is not None and len(place) != 1:
        raise MfvError(f"position={position}: tokens {_shape(activation)} lie in no grid; give one index, or 'class'")
    _known(position, place, ("class", "max", "mean"), activation)
    if place is not None:
        if not 0 <= place[0] < count:
            raise MfvError(f"position={position}: there are {count} tokens, 0–{count - 1}")
        return _at(activation.transpose(1, 2), place[0])
    if position == "mean":
        return activation.mean(dim=1), None
    values, where = activation.max(dim=1)
    return values, where


def _at(flat: Tensor, index: int) -> tuple[Tensor, Tensor]:
    values = flat[:, :, index]
    return values, torch.full_like(values, index, dtype=torch.long, requires_grad=False)


def coordinates(position: Position | None) -> tuple[int, ...] | None:
    """Return the integers of a position, or None where it is a word or there is none."""
    if position is None:
        return None
    if isinstance(position, int):
        return (position,)
    parts = position.split(",") if isinstance(position, str) else position
    try:
        return tuple(int(part) for part in parts)
    except (TypeError, ValueError):
        return None


def _known(
    position: Position | None, place: tuple[int, ...] | None, words: tuple[str, ...], activation: Tensor
) -> None:
    if position is not None and place is None and position not in words:
        raise MfvError(f"position={position!r}: an activation {_shape(activation)} has {', '.join(words)} or an index")


def _shape(activation: Tensor) -> str:
    return "(" + ", ".join(["n", *map(str, activation.shape[1:])]) + ")"


def interior_values(
    activation: Tensor, interior: tuple[int, int], position: Position | None = None
) -> tuple[Tensor, Tensor | None]:
    """Return what `unit_values` gives for the middle of a map (n, C, H, W), its places those in the whole map.

    Args:
        activation: of a layer with a map.
        interior: the first and last row and column that count.
        position: as `unit_values` takes it, within the middle.

    """
    first, last = interior
    middle = activation[:, :, first : last + 1, first : last + 1]
    values, where = unit_values(middle, position)
    if where is not None:
        y, x = where // middle.shape[3], where % middle.shape[3]
        where = (y + first) * activation.shape[3] + x + first
    return values, where


def as_codes(activation: Tensor) -> Tensor:
    """Return one vector per image (n, d): the mean over a map, the class token of a sequence."""
    if activation.ndim == 4:
        return activation.mean(dim=(2, 3))
    if activation.ndim == 3:
        return activation[:, 0]
    return activation.flatten(1)
