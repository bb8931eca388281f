"""Principal components of codes that memory does not hold: two passes over blocks of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy.linalg import eigh

from mfv.discovery.checks import to_unit_length
from mfv.discovery.pca import upright

Blocks = Callable[[], Iterable[np.ndarray]]  # starts a pass over the codes, in blocks (b, d)


def streamed_components(blocks: Blocks, count: int, unit_length: bool = False) -> np.ndarray:
    """Return all codes' coordinates along their `count` main directions, (n, count) float32.

    The same as `principal_components`, up to rounding, in the memory of a block, of the covariance (d, d) and of
    the result. The first pass sums the blocks' products, in double precision, the second projects.

    Args:
        blocks: gives the codes (n, d) anew at each call, in the same order.
        count: directions; at most min(n, d) come.
        unit_length: whether each code is divided by its length first; one of zeros stays.

    """
    total = products = shift = None
    rows = 0
    for block in blocks():
        values = _prepared(block, unit_length)
        if shift is None:  # near the mean, so that the products lose nothing
            shift = values.mean(axis=0, dtype=np.float64).astype(np.float32)
            total, products = np.zeros(values.shape[1]), np.zeros((values.shape[1], values.shape[1]))
        centred = values - shift
        total += centred.sum(axis=0, dtype=np.float64)
        products += centred.T @ centred
        rows += len(values)
    if shift is None or total is None or products is None:
        raise ValueError("there are no codes")
    mean = total / rows
    covariance = products / rows - np.outer(mean, mean)
    width = len(covariance)
    _, vectors = eigh(covariance, subset_by_index=(max(0, width - min(count, rows)), width - 1))
    directions = upright(vectors.T[::-1])
    origin = shift + mean.astype(np.float32)
    turned = np.ascontiguousarray(directions.T, dtype=np.float32)
    result, done = np.empty((rows, len(directions)), np.float32), 0
    for block in blocks():
        result[done : done + len(block)] = (_prepared(block, unit_length) - origin) @ turned
        done += len(block)
    return result


def _prepared(block: np.ndarray, unit_length: bool) -> np.ndarray:
    values = block.astype(np.float32)
    if unit_length:
        to_unit_length(values)
    return values
