"""Activations and codes of a set of images on disk: in shards, resumable, shared by units and by layers."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from mfv.activations.shards import DamagedShard, Shard, Skipped, write_shard, write_whole
from mfv.errors import MfvError
from mfv.structures import write_json

SCHEMA = 3
SHARD_ROWS = 512  # images; what a killed run does again at most, and a unit's values lie together in
CHECKED = 1 << 30  # bytes of a store up to which a process checks each shard before it uses it: a second in all
HALF_MAX = float(np.finfo(np.float16).max)
MANIFEST = "manifest.json"
WRITING = "writing.lock"
CODES_IN = "codes_in"  # in an activation store's description: the folder, beside its own, of its images' codes


def store_key(description: Mapping[str, Any]) -> str:
    """Return the name of the store for what it holds: the same description, the same store."""
    text = json.dumps({"schema": SCHEMA, **description}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ShardedStore:
    """What is known of n images, in shards of consecutive ones.

    A shard is a file, written whole or not at all: what is there is finished, whoever wrote it. So a killed run
    goes on at the shards that are missing, several processes may write at once, each its own shards, and stores
    of the same content are merged by copying files. Memory holds a shard at a time, however many images there are.

    Args:
        directory: the store's own folder.
        description: what identifies the content (network, layer, images, transform); JSON-ready.
        rows: the number of images.
        shard_rows: images in a shard; of a store that is there already, its own.

    """

    def __init__(self, directory: str | Path, description: Mapping[str, Any], rows: int, shard_rows: int = SHARD_ROWS):
        self.directory, self.rows, self.description = Path(directory), rows, dict(description)
        self._sound: set[int] = set()  # shards that were compared with their checksums
        path = self.directory / MANIFEST
        if path.exists():
            known = read_manifest(self.directory)
            self.shard_rows = known["shard_rows"]
            if known != self._manifest():
                raise MfvError(
                    f"the activation store {self.directory} holds something else than this run's images "
                    f"({rows} images): remove the folder, or set another store.root"
                )
        else:
            self.shard_rows = shard_rows
            self.directory.mkdir(parents=True, exist_ok=True)
            write_json(path, self._manifest())

    @classmethod
    def open(cls, directory: str | Path) -> Self:
        """Return the store in a folder, whatever it describes."""
        known = read_manifest(Path(directory))
        own = ("schema", "rows", "shard_rows")
        return cls(directory, {key: value for key, value in known.items() if key not in own}, known["rows"])

    @property
    def shards(self) -> int:
        """How many shards there are, or will be."""
        return -(-self.rows // self.shard_rows)

    @property
    def complete(self) -> bool:
        """Whether all rows are written."""
        return not self.missing()

    def missing(self) -> list[int]:
        """Return the shards that are still to be written."""
        return [shard for shard in range(self.shards) if not self.path(shard).exists()]

    def path(self, shard: int) -> Path:
        """Return the file of a shard."""
        return self.directory / f"shard_{shard:06d}.safetensors"

    def rows_of(self, shard: int) -> range:
        """Return the rows that a shard holds."""
        return range(shard * self.shard_rows, min((shard + 1) * self.shard_rows, self.rows))

    # --- reading ----------------------------------------------------------------------------------

    def open_shards(self) -> Iterator[tuple[range, Shard]]:
        """Give each shard with its rows, in order: for a pass over everything."""
        for number in range(self.shards):
            yield self.rows_of(number), self._shard(number)

    @property
    def skipped(self) -> list[Skipped]:
        """The images that could not be read, of the shards that are there."""
        there = [number for number in range(self.shards) if self.path(number).exists()]
        return [entry for number in there for entry in self._shard(number).skipped]

    def readable(self) -> np.ndarray:
        """Return the rows (m,) of the images that could be read."""
        return np.delete(np.arange(self.rows), [entry.row for entry in self.skipped])

    # --- writing and keeping ----------------------------------------------------------------------

    def touch(self) -> None:
        """Note that the store is used now, where it may be written: `mfv store prune --days` removes what is not."""
        with suppress(OSError):
            os.utime(self.directory / MANIFEST)

    def verify(self) -> list[DamagedShard]:
        """Read everything and return what is damaged."""
        damages = []
        for number in range(self.shards):
            if self.path(number).exists():
                try:
                    Shard(self.path(number)).verify()
                except DamagedShard as damage:
                    damages.append(damage)
        return damages

    def merge(self, other: ShardedStore) -> int:
        """Copy the shards that are missing here from a store of the same content; return how many there were.

        Raises:
            MfvError: the other store holds something else, or the disk is full.
            DamagedShard: one of its shards is damaged; it is not copied.

        """
        if read_manifest(self.directory) != read_manifest(other.directory):
            raise MfvError(f"{other.directory} holds something else than {self.directory}: they cannot be merged")
        copied = 0
        for number in self.missing():
            if other.path(number).exists():
                Shard(other.path(number)).verify()
                write_whole(self.path(number), other.path(number).read_bytes(), "name another folder to merge into")
                copied += 1
        return copied

    def _write(
        self,
        shard: int,
        arrays: Mapping[str, np.ndarray],
        rows: Sequence[int],
        skipped: Sequence[Skipped],
        *,
        by_column: bool = False,
    ) -> None:
        """Write a shard of the readable images' arrays (m, d), as (n, d) or, by column, as (d, n)."""
        own = self.rows_of(shard)
        if sorted([*rows, *(entry.row for entry in skipped)]) != list(own):
            raise ValueError(f"shard {shard} holds the rows {own.start} to {own.stop - 1}, each once")
        local = np.asarray(rows, dtype=np.int64) - own.start
        whole = {name: _spread(array, local, len(own)) for name, array in arrays.items()}
        write_shard(self.path(shard), {name: a.T if by_column else a for name, a in whole.items()}, skipped)

    def _shard(self, number: int) -> Shard:
        try:
            shard = Shard(self.path(number))
            if number not in self._sound and self.shards * self.path(number).stat().st_size <= CHECKED:
                shard.verify()
                self._sound.add(number)
            return shard
        except DamagedShard as damage:
            raise MfvError(
                f"{damage}: `mfv store verify --repair {self.directory}` removes what is damaged, and the same command "
                "makes it again"
            ) from damage

    def _gathered(
        self, rows: Sequence[int] | np.ndarray, read: Callable[[Shard, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return what is read of each row's shard, in the order of the rows."""
        wanted = np.asarray(rows, dtype=np.int64)
        shards = wanted // self.shard_rows
        parts: np.ndarray | None = None
        for number in np.unique(shards):
            places = np.flatnonzero(shards == number)
            found = read(self._shard(int(number)), wanted[places] - number * self.shard_rows)
            parts = np.empty((len(wanted), *found.shape[1:]), found.dtype) if parts is None else parts
            parts[places] = found
        if parts is None:
            raise ValueError("no rows are asked for")
        return parts

    def _manifest(self) -> dict[str, Any]:
        return {"schema": SCHEMA, "rows": self.rows, "shard_rows": self.shard_rows, **self.description}


class CodeStore(ShardedStore):
    """The codes of n images, and those of the model's middle layer where it has one.

    All layers that are collected in the same pass share it.
    """

    def codes(self, rows: Sequence[int] | np.ndarray, layer: str = "codes") -> np.ndarray:
        """Return the codes of some images, (m, d) float16; with layer="middle" those of the model's middle layer."""
        return self._gathered(rows, lambda shard, local: shard.rows(layer, local))

    @property
    def has_middle(self) -> bool:
        """Whether the codes of the model's middle layer are there."""
        return "middle" in self._shard(0).names

    def write(
        self,
        shard: int,
        codes: Tensor,
        rows: Sequence[int],
        skipped: Sequence[Skipped] = (),
        middle: Tensor | None = None,
    ) -> None:
        """Write a shard, unless another run, which collects another layer, has done so.

        Args:
            shard: its number.
            codes: (m, d) of the readable images.
            rows: (m,) the readable images' rows.
            skipped: the shard's unreadable images; together with `rows` all of `rows_of(shard)`.
            middle: (m, d), the codes of the model's middle layer, or None.

        """
        with FileLock(self.directory / WRITING):
            if not self.path(shard).exists():
                halves = {"codes": codes} if middle is None else {"codes": codes, "middle": middle}
                self._write(shard, {name: _half(values) for name, values in halves.items()}, rows, skipped)


class ActivationStore(ShardedStore):
    """The activations of one layer's units on n images; the images' codes are in a store beside it.

    In a shard activations lie unit by unit: a unit's values over all images are read without the other units'.
    """

    @cached_property
    def code_store(self) -> CodeStore:
        """Where the images' codes are."""
        return CodeStore.open(self.directory.parent / self.description[CODES_IN])

    def activations(self, unit: int) -> np.ndarray:
        """Return a unit's value on each image (n,) float32; NaN where an image could not be read."""
        return np.concatenate([shard.row("activations", unit) for _, shard in self.open_shards()])

    def positions(self, rows: Sequence[int] | np.ndarray, unit: int) -> np.ndarray | None:
        """Return where in the layer's map a unit's value is on some images, (m,) as y·W + x; None without a map."""
        if "positions" not in self._shard(0).names:
            return None
        # one type for all: a shard has the smallest that holds its own
        return self._gathered(rows, lambda shard, local: shard.row("positions", unit)[local].astype(np.int64))

    def codes(self, rows: Sequence[int] | np.ndarray, layer: str = "codes") -> np.ndarray:
        """Return the images' codes (`CodeStore.codes`)."""
        return self.code_store.codes(rows, layer)

    def write(
        self,
        shard: int,
        values: Tensor,
        positions: Tensor | None,
        rows: Sequence[int],
        skipped: Sequence[Skipped] = (),
    ) -> None:
        """Write a shard.

        Args:
            shard: its number.
            values: (m, units) of the readable images.
            positions: (m, units), or None.
            rows: (m,) the readable images' rows.
            skipped: the shard's unreadable images; together with `rows` all of `rows_of(shard)`.

        """
        arrays = {"activations": values.float().cpu().numpy()}
        if positions is not None:
            arrays["positions"] = positions.to(dtype=_smallest(positions)).cpu().numpy()
        self._write(shard, arrays, rows, skipped, by_column=True)


def seems_stored(root: Path, model: str, layer: str, images: str | None) -> bool:
    """Say whether a finished store below a folder is of this layer and these images, by the names that it has of them.

    Its network may be another of the same name: who wants to be sure opens the store of a description (`store_key`).
    """
    for path in root.glob(f"*/{MANIFEST}"):
        with suppress(MfvError, OSError):  # damaged, or another version's
            known = read_manifest(path.parent)
            if [known.get(name) for name in ("model", "layer", "images")] == [model, layer, images]:
                return ActivationStore.open(path.parent).complete
    return False


def fitting_shard_rows(rows: int) -> int:
    """Return how many images of so many make a shard: a sixteenth, by 32, at most `SHARD_ROWS`."""
    return min(SHARD_ROWS, 32 * max(1, -(-rows // (16 * 32))))


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return what a store says of itself.

    Raises:
        MfvError: the folder is no store, its manifest is damaged, or another version of mfv wrote it.

    """
    path = directory / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MfvError(f"{directory} is no activation store: it has no {MANIFEST}") from error
    except ValueError as error:
        raise MfvError(f"{path} is damaged ({error}): remove the folder {directory}") from error
    if not isinstance(manifest, dict):
        raise MfvError(f"{path} is damaged (it holds no names and values): remove the folder {directory}")
    if manifest.get("schema") != SCHEMA:
        raise MfvError(
            f"{directory} was written by another version of mfv (schema {manifest.get('schema')}, here {SCHEMA}): "
            "remove the folder (`mfv store prune` finds all of them); it is made again"
        )
    for name in ("rows", "shard_rows"):
        value = manifest.get(name)
        if not isinstance(value, int) or value < 1:
            raise MfvError(f"{path} is damaged ({name} is {value}): remove the folder {directory}")
    return manifest


def _half(codes: Tensor) -> np.ndarray:
    return codes.float().clamp(-HALF_MAX, HALF_MAX).half().cpu().numpy()


def _spread(values: np.ndarray, rows: np.ndarray, count: int) -> np.ndarray:
    """Return (count, d) with the values (m, d) in their rows; the other rows are NaN, or −1."""
    blank = np.nan if values.dtype.kind == "f" else -1
    whole = np.full((count, values.shape[1]), blank, values.dtype)
    whole[rows] = values
    return whole


def _smallest(positions: Tensor) -> torch.dtype:
    largest = int(positions.max()) if positions.numel() else 0
    return torch.int16 if largest <= torch.iinfo(torch.int16).max else torch.int32
