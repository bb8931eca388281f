"""One pass over the images: the layer's activations and the codes, by Lightning's predict."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from mfv import distributed
from mfv.activations.shards import Skipped
from mfv.activations.store import ActivationStore, fitting_shard_rows, store_key
from mfv.activations.values import as_codes, interior_values, unit_values
from mfv.data.loading import BadImage, Batch, Batches, Images, check_bad_share, processors
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.errors import MfvError
from mfv.interruption import interruptible
from mfv.models.fingerprint import network_fingerprint
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.processes import one_message, stage_trainer, taking_turns
from mfv.progress import StageBar, quiet_lightning

AUTO = "auto"
MOST_WORKERS = 8

logger = logging.getLogger("mfv")


class Collector(LightningModule):
    """Writes a layer's unit values, the codes and the middle layer's of the missing shards' images into a store.

    Of several processes each writes its own shards; none waits for another.

    Args:
        model: the network, prepared.
        layer: whose units' values are kept.
        position: where in a map a unit's value is read (`unit_values`).
        store: takes the shards.
        images: prepared for the network.
        middle: the layer whose codes are kept too; None for none.
        interior: the rows and columns of the map that count; None for all (`View.interior`).
        batch_size: images per forward pass.
        workers: processes that decode.

    """

    def __init__(
        self,
        model: TargetModel,
        layer: str,
        position: str | None,
        store: ActivationStore,
        images: Images,
        middle: str | None = None,
        interior: tuple[int, int] | None = None,
        batch_size: int = 32,
        workers: int = 0,
    ):
        super().__init__()
        self.model, self.layer, self.position, self.interior = model, layer, position, interior
        self.store, self.images, self.batch_size, self.workers = store, images, batch_size, workers
        self.middle = middle
        self._shard = _Growing()
        self._bad = [BadImage(entry.row, entry.path, entry.reason) for entry in store.skipped]

    def predict_dataloader(self) -> DataLoader:
        """Return this process's batches, none of which reaches over the end of a shard."""
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        # By their numbers: what is missing may look different to a process that starts later.
        own = [self.store.rows_of(shard) for shard in self.store.missing() if shard % processes == rank]
        batches = [list(rows[i : i + self.batch_size]) for rows in own for i in range(0, len(rows), self.batch_size)]
        # A process without a shard gets an empty batch: Lightning takes no empty loader.
        return DataLoader(Batches(self.images, batches or [[]]), batch_size=None, num_workers=self.workers)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Run the network once, and write the shard where it is full."""
        growing = self._shard
        if len(batch.indices):
            growing.rows += batch.indices.tolist()
            growing.parts.append(self._pass(batch.pixels))
        growing.bad += batch.bad
        self._bad += batch.bad
        if len(self._bad) > self.images.source.max_bad_share * len(self.images):
            check_bad_share(self._bad, len(self.images), self.images.source.max_bad_share)
        if growing.count:
            shard = growing.first // self.store.shard_rows
            if growing.count == len(self.store.rows_of(shard)):
                skipped = [Skipped(bad.number, bad.path, bad.reason) for bad in growing.bad]
                found = self._joined(growing.parts)
                self.store.write(
                    shard, found.values, found.positions, found.codes, growing.rows, skipped, found.middle
                )  # fmt: skip
                self._shard = _Growing()

    def _pass(self, pixels: Tensor) -> Found:
        """Return what is kept of pixels (b, 3, S, S) uint8."""
        layers = [self.layer, self.model.code_layer, *([self.middle] if self.middle else [])]
        shown = pixels.float().div_(255).contiguous(memory_format=torch.channels_last)
        activations = self.model.activations(shown, layers)
        if self.interior and self.position in (None, "max"):
            values, positions = interior_values(activations[self.layer], self.interior, self.position)
        else:
            values, positions = unit_values(activations[self.layer], self.position)
        return Found(
            values.cpu(),
            None if positions is None else positions.cpu(),
            as_codes(activations[self.model.code_layer]).cpu(),
            as_codes(activations[self.middle]).cpu() if self.middle else None,
        )

    def _joined(self, parts: list[Found]) -> Found:
        if not parts:  # no image of the shard is readable: its arrays are as wide as the others' all the same
            side = self.model.input_size
            one = self._pass(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self.device))
            positions, middle = (None if each is None else each[:0] for each in (one.positions, one.middle))
            return Found(one.values[:0], positions, one.codes[:0], middle)
        places = [part.positions for part in parts if part.positions is not None]
        middles = [part.middle for part in parts if part.middle is not None]
        return Found(
            torch.cat([part.values for part in parts]),
            torch.cat(places) if places else None,
            torch.cat([part.codes for part in parts]),
            torch.cat(middles) if middles else None,
        )


class Found(NamedTuple):
    """What is kept of b images."""

    values: Tensor  # (b, units)
    positions: Tensor | None  # (b, units)
    codes: Tensor  # (b, d)
    middle: Tensor | None  # (b, d)


@dataclass
class _Growing:
    """The shard in hand."""

    rows: list[int] = field(default_factory=list)
    parts: list[Found] = field(default_factory=list)
    bad: list[BadImage] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.rows) + len(self.bad)

    @property
    def first(self) -> int:
        return min([*self.rows, *(bad.number for bad in self.bad)])


def answers(model: TargetModel, layer: str) -> bool:
    """Say whether a layer takes part in the forward pass: a network may have some that are only for its training."""
    pixels = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    try:
        with torch.inference_mode():
            model.activations(pixels, [layer])
    except MfvError:
        return False
    return True


def loader_workers(workers: int | str, accelerator: str) -> int:
    """Return how many processes decode.

    On a CPU decoding and the forward pass share the processors: another process would not add any.
    """
    if workers == AUTO:
        on_cpu = accelerator == "cpu" or not torch.accelerator.is_available()
        return 0 if on_cpu else min(MOST_WORKERS, processors())
    if not isinstance(workers, int) or isinstance(workers, bool) or workers < 0:
        raise MfvError(f"machine.workers is {workers!r}; it is a number of processes, 0 or more, or {AUTO}")
    return workers


def collect(
    model: TargetModel,
    layer: str,
    source: ImageSource,
    root: str | Path,
    *,
    position: str | None = None,
    interior: tuple[int, int] | None = None,
    batch_size: int = 32,
    workers: int | str = AUTO,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    progress: bool = True,
) -> ActivationStore:
    """Return the store of a layer's activations and the codes of all images; what is stored is not read again.

    Args:
        model: the network.
        layer: whose units' values are kept.
        source: the images.
        root: the folder of all stores. The store's own name in it follows from the network's
            weights, the layer, the images and how they are prepared.
        position: where in a map a unit's value is read.
        interior: the rows and columns of the map in which its largest value is looked for; None for all.
        batch_size: images per forward pass.
        workers: processes that decode; 0 decodes in this one, by as many threads as there are processors.
            "auto" is 0 where the network computes on the CPU too, else up to eight.
        accelerator: as Lightning's Trainer takes it.
        devices: processes on this machine, one per device; the shards are spread over them.
        num_nodes: machines, which share the folder.
        progress: whether to show a bar.

    Raises:
        MfvError: more images are unreadable than `source.max_bad_share` allows.
        KeyboardInterrupt: the user stopped it; the shards that are finished stay.

    """
    preprocess = Preprocess(model.input_size, model.resize)
    description = {
        "model": model.name,
        "network": network_fingerprint(model),
        "layer": layer,
        "position": str(position),
        "interior": list(interior) if interior else None,
        "codes": model.code_layer,
        "middle": model.anchor_layer,
        "images": source.fingerprint,
        "transform": preprocess.description,
    }
    directory = Path(root) / store_key(description)
    store = distributed.after_first(
        lambda: ActivationStore(directory, description, len(source), fitting_shard_rows(len(source)))
    )
    with taking_turns(directory):
        store.touch()
        if distributed.first(lambda: store.complete):
            logger.info("the activations of %d images are in %s: none is read again", store.rows, store.directory)
        else:
            middle = model.anchor_layer if answers(model, model.anchor_layer) else None
            prepared = prepare(model, keep=[layer, model.code_layer, *([middle] if middle else [])])
            collector = Collector(
                prepared, layer, position, store, Images(source, preprocess), middle, interior, batch_size,
                loader_workers(workers, accelerator),
            )  # fmt: skip
            missing = sum(len(store.rows_of(shard)) for shard in store.missing())
            bars = [StageBar("collect", missing, "images")] if progress else []
            with quiet_lightning(), one_message(), interruptible():
                trainer = stage_trainer(root, accelerator, devices, num_nodes, bars, logger=False)
                trainer.predict(collector, return_predictions=False)
            distributed.meet()  # each has written its own shards
    check_bad_share(
        [BadImage(entry.row, entry.path, entry.reason) for entry in store.skipped], len(source), source.max_bad_share
    )
    for entry in store.skipped:
        logger.warning("skipped %s: %s", entry.path, entry.reason)
    return store
