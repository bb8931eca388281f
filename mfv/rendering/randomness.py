"""Random numbers that belong to a facet, not to the batch or the process that it is rendered in."""

import hashlib

import torch
from torch import Tensor


class Randomness:
    """Tables of random numbers, one row of numbers per facet and step.

    A number depends only on the seed, the facet, the key and the step. So a batch of ten equals ten
    alone, any number of processes draws the same, and a resumed run goes on as if unbroken.

    Args:
        seed: of the run.
        facets: (n,) the facets' indices.
        steps: how many there will be.

    """

    def __init__(self, seed: int, facets: Tensor, steps: int):
        self.seed, self.facets, self.steps = seed, facets.tolist(), steps
        self._tables: dict[tuple[str, str, int, torch.device], Tensor] = {}

    def uniform(self, key: str, count: int, step: int, device: torch.device) -> Tensor:
        """Return (n, count) numbers in [0, 1)."""
        return self._table("uniform", key, count, device)[step]

    def normal(self, key: str, count: int, step: int, device: torch.device) -> Tensor:
        """Return (n, count) standard normal numbers."""
        return self._table("normal", key, count, device)[step]

    def seeds(self, key: str, step: int) -> list[int]:
        """Return n seeds, which the host knows whatever device computes."""
        high, low = (self._table("uniform", key, 2, torch.device("cpu"))[step] * 2**24).long().unbind(1)
        return (high * 2**24 + low).tolist()

    def _table(self, kind: str, key: str, count: int, device: torch.device) -> Tensor:
        name = (kind, key, count, device)
        if name not in self._tables:
            draw = torch.rand if kind == "uniform" else torch.randn
            rows = [
                draw(self.steps, count, generator=facet_generator(self.seed, facet, key), device="cpu")
                for facet in self.facets
            ]
            self._tables[name] = torch.stack(rows, 1).to(device)
        return self._tables[name]


def facet_generator(seed: int, facet: int, key: str) -> torch.Generator:
    """Return a generator of a facet's own, for one use of it."""
    digest = hashlib.sha256(f"{seed}/{facet}/{key}".encode()).digest()
    return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "little") >> 1)
