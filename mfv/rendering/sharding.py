"""Facet images spread over processes: each owns its own, and nothing is averaged."""

from typing import Any

import torch
from torch import Tensor


def own_rows(total: int, rank: int, processes: int) -> Tensor:
    """Return the rows that a process owns: r, r + W, r + 2W … (none where there are more processes than rows)."""
    return torch.arange(rank, total, processes, device="cpu")


def gather(value: Any, processes: int) -> list[Any]:
    """Return every process's value, in the order of their ranks; all must call it."""
    if processes == 1:
        return [value]
    values: list[Any] = [None] * processes
    torch.distributed.all_gather_object(values, value)
    return values


def interleave(shards: list[Tensor], dim: int = 0) -> Tensor:
    """Return all rows in order from the processes' shards: the inverse of `own_rows`."""
    total = sum(shard.shape[dim] for shard in shards)
    size = next((s.shape for s in shards if s.shape[dim]), shards[0].shape)
    whole = shards[0].new_empty([total if d == dim else n for d, n in enumerate(size)])
    for rank, shard in enumerate(shards):
        if shard.shape[dim]:
            whole.index_copy_(dim, own_rows(total, rank, len(shards)), shard)
    return whole
