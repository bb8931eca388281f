"""Activations and codes of a set of images on disk: memory-mapped, resumable, shared by all units of a layer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from mfv.errors import MfvError
from mfv.structures import write_json

SCHEMA = 1
HALF_MAX = float(np.finfo(np.float16).max)


def store_key(description: Mapping[str, Any]) -> str:
    """Return the name of the store for what it holds: the same description, the same store."""
    text = json.dumps({"schema": SCHEMA, **description}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Skipped:
    """An image that could not be read, and why."""

    row: int
    path: str
    reason: str


class ActivationStore:
    """The activations of one layer (n, units) and the codes (n, d) of n images, one row each.

    A store is written row by row from the first; what is written stays, so that a killed run goes
    on at the last batch that it finished. Rows of unreadable images hold NaN and are listed.

    Args:
        directory: the store's own folder.
        description: what identifies the content (network, layer, images, transform); JSON-ready.
        rows: the number of images.

    """

    def __init__(self, directory: str | Path, description: Mapping[str, Any], rows: int):
        self.directory, self.rows = Path(directory), rows
        self.directory.mkdir(parents=True, exist_ok=True)
        manifest = {"schema": SCHEMA, "rows": rows, **description}
        path = self.directory / "manifest.json"
        if path.exists():
            known = _read_json(path)
            if known != manifest:
                raise MfvError(
                    f"the activation store {self.directory} holds something else than this run's images "
                    f"({rows} images): remove the folder, or set another store.root"
                )
        else:
            write_json(path, manifest)
        progress = self.directory / "progress.json"
        state: dict[str, Any] = _read_json(progress) if progress.exists() else {"done": 0, "skipped": []}
        self.done: int = state["done"]
        self.skipped: list[Skipped] = [Skipped(**entry) for entry in state["skipped"]]
        self._arrays: dict[str, np.ndarray] = {}
        if self.done:
            for name in ("activations", "positions", "codes"):
                if (self.directory / f"{name}.npy").exists():
                    self._arrays[name] = self._open(name, "r+")

    @property
    def complete(self) -> bool:
        """Whether all rows are written."""
        return self.done == self.rows

    @property
    def activations(self) -> np.ndarray:
        """Each unit's value on each image, (n, units) float32."""
        return self._arrays["activations"]

    @property
    def positions(self) -> np.ndarray | None:
        """Where in the layer's map the value is, (n, units) int32 as y·W + x; None for layers without one."""
        return self._arrays.get("positions")

    @property
    def codes(self) -> np.ndarray:
        """The images' codes, (n, d) float16."""
        return self._arrays["codes"]

    def readable(self) -> np.ndarray:
        """Return the rows (m,) of the images that could be read."""
        bad = {entry.row for entry in self.skipped}
        return np.array([row for row in range(self.rows) if row not in bad], dtype=np.int64)

    def write(
        self,
        rows: Sequence[int],
        values: Tensor,
        positions: Tensor | None,
        codes: Tensor,
        skipped: Sequence[Skipped],
    ) -> None:
        """Write the rows that follow those already written, then note that they are.

        Args:
            rows: (b,) the readable images' rows.
            values: (b, units).
            positions: (b, units), or None.
            codes: (b, d).
            skipped: the batch's unreadable images.

        """
        if len(rows):
            index = np.asarray(rows)
            self._array("activations", values.shape[1], np.float32)[index] = values.float().cpu().numpy()
            self._array("codes", codes.shape[1], np.float16)[index] = (
                codes.float().clamp(-HALF_MAX, HALF_MAX).half().cpu().numpy()
            )
            if positions is not None:
                self._array("positions", positions.shape[1], np.int32)[index] = positions.cpu().numpy()
        for entry in skipped:
            for name in ("activations", "codes"):
                if name in self._arrays:
                    self._arrays[name][entry.row] = np.nan
        for array in self._arrays.values():
            array.flush()  # type: ignore[attr-defined]
        self.skipped.extend(skipped)
        self.done += len(rows) + len(skipped)
        entries = [vars(entry) for entry in self.skipped]
        write_json(self.directory / "progress.json", {"done": self.done, "skipped": entries})

    def _array(self, name: str, width: int, kind: type) -> np.ndarray:
        if name not in self._arrays:
            path = self.directory / f"{name}.npy"
            np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=(self.rows, width)).flush()
            self._arrays[name] = self._open(name, "r+")
        return self._arrays[name]

    def _open(self, name: str, mode: Any) -> np.ndarray:
        path = self.directory / f"{name}.npy"
        try:
            return np.lib.format.open_memmap(path, mode=mode)
        except (ValueError, OSError) as error:
            raise MfvError(f"{path} is damaged ({error}): remove the folder {self.directory}") from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MfvError(f"{path} is damaged ({error}): remove the folder {path.parent}") from error
