"""The images that each unit likes most, of all units in one pass over a store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mfv.activations.store import ActivationStore

BLOCK = 16  # shards that are looked at together


def top_images(store: ActivationStore, count: int, units: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return each unit's largest values and the rows of their images, exactly, in one pass and bounded memory.

    Args:
        store: complete.
        count: images per unit.
        units: which ones; by default all.

    Returns:
        The values (u, m) float32, largest first, and the rows (u, m), m = min(count, readable images). Of equal
        values those of the first rows count.

    """
    shards = ((rows, shard.array("activations")) for rows, shard in store.open_shards())
    if units is not None:
        chosen = list(units)
        shards = ((rows, values[chosen]) for rows, values in shards)
    top = TopImages(count)
    for block in _blocks(shards, BLOCK):
        top.add(np.concatenate([values for _, values in block], 1), block[0][0].start)
    return top.values, top.rows


class TopImages:
    """The largest values of each unit so far, exact, whatever comes.

    Args:
        count: how many are kept of each unit.

    """

    def __init__(self, count: int):
        self.count = count
        self._kept: list[tuple[np.ndarray, np.ndarray]] = []  # per unit: values, largest first, and their rows

    def add(self, values: np.ndarray, first: int) -> None:
        """Take the values (units, n) of the rows from `first` on, which must follow those before; NaN is left out."""
        if not self._kept:
            empty = (np.empty(0, np.float32), np.empty(0, np.int64))
            self._kept = [empty] * len(values)
        for unit, (known, rows) in enumerate(self._kept):
            full = len(known) == self.count
            new = np.flatnonzero(values[unit] > known[-1] if full else ~np.isnan(values[unit]))
            if len(new):
                merged = np.concatenate([known, values[unit][new].astype(np.float32)])
                order = np.argsort(-merged, kind="stable")[: self.count]  # stable: the earlier row of equal values
                self._kept[unit] = (merged[order], np.concatenate([rows, first + new])[order])

    @property
    def values(self) -> np.ndarray:
        """The largest values (units, m), largest first."""
        return np.stack([values for values, _ in self._kept])

    @property
    def rows(self) -> np.ndarray:
        """The rows (units, m) of the values."""
        return np.stack([rows for _, rows in self._kept])


def _blocks(items: Iterable[tuple[range, np.ndarray]], size: int) -> Iterable[list[tuple[range, np.ndarray]]]:
    block: list[tuple[range, np.ndarray]] = []
    for item in items:
        block.append(item)
        if len(block) == size:
            yield block
            block = []
    if block:
        yield block
