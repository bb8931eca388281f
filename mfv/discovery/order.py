"""The order of the clusters."""

import numpy as np


def by_size(assignment: np.ndarray) -> np.ndarray:
    """Return the assignment with the largest cluster as 0; among equals the one with the first image leads."""
    _, first, place, sizes = np.unique(assignment, return_index=True, return_inverse=True, return_counts=True)
    number = np.empty(len(sizes), dtype=np.int64)
    number[np.lexsort((first, -sizes))] = np.arange(len(sizes))
    return number[place]
