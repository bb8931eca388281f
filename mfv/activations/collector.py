"""One pass over the images: the activations of one or several layers, and the codes, by Lightning's predict."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import DataLoader

from mfv import distributed
from mfv.activations.shards import Skipped
from mfv.activations.store import CODES_IN, ActivationStore, CodeStore, ShardedStore, fitting_shard_rows, store_key
from mfv.activations.values import as_codes, interior_values, unit_values
from mfv.data.decoded_ahead import DecodedAhead
from mfv.data.loading import BadImage, Batch, Batches, Images, check_bad_share
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.errors import MfvError, check_count
from mfv.interruption import interruptible
from mfv.models.batches import shown
from mfv.models.fingerprint import network_fingerprint
from mfv.models.layout import lay_out
from mfv.models.preparation import leaves_norms_folded, prepare
from mfv.models.target import TargetModel
from mfv.processes import stage_trainer, started_processes, taking_turns
from mfv.progress import StageBar, quiet_lightning
from mfv.threads import processors

AUTO = "auto"
MOST_WORKERS = 16  # for each device

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Wanted:
    """A layer whose units' values are wanted.

    Attributes:
        layer: its name.
        position: where in a map a unit's value is read (`unit_values`).
        interior: the rows and columns of the map that count; None for all (`View.interior`).

    """

    layer: str
    position: str | None = None
    interior: tuple[int, int] | None = None

    def of(self, activation: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the units' values (b, units) and where in the map they are, (b, units) or None."""
        if self.interior and self.position in (None, "max"):
            return interior_values(activation, self.interior, self.position)
        return unit_values(activation, self.position)


@dataclass
class Stores:
    """What one pass over the images fills: stores of shards of the same size.

    Attributes:
        folded: whether batch norms are folded for it, but for those that the codes need.
        layers: of each layer whose units' values are missing, their store.
        codes: the images' codes; None where they are there, or in shards of another size.

    """

    folded: bool
    layers: dict[Wanted, ActivationStore] = field(default_factory=dict)
    codes: CodeStore | None = None

    @property
    def all(self) -> list[ShardedStore]:
        """All of them."""
        return [*self.layers.values(), *([self.codes] if self.codes else [])]

    def missing(self) -> dict[int, range]:
        """Return the shards that any of them misses, with their rows."""
        missing = {shard: store.rows_of(shard) for store in self.all for shard in store.missing()}
        return dict(sorted(missing.items()))


class Collector(LightningModule):
    """Writes layers' unit values, the codes and the middle layer's of the missing shards' images.

    An image passes through the network once, however many layers there are. Of several processes each writes its own
    shards; none waits for another.

    Args:
        model: the network, prepared.
        stores: those that miss a shard get it.
        images: prepared for the network.
        middle: the layer whose codes are kept too; None for none.
        batch_size: images per forward pass.
        workers: processes that decode.

    """

    def __init__(
        self,
        model: TargetModel,
        stores: Stores,
        images: Images,
        middle: str | None = None,
        batch_size: int = 32,
        workers: int = 0,
    ):
        super().__init__()
        self.model, self.stores = model, stores
        self.images, self.batch_size, self.workers = images, batch_size, workers
        self.middle = middle
        self.missing = stores.missing()
        self._shard = _Growing()
        known = [entry for store in stores.all for entry in store.skipped]
        self._bad = {entry.row: BadImage(entry.row, entry.path, entry.reason) for entry in known}

    def predict_dataloader(self) -> DataLoader:
        """Return this process's batches, none of which reaches over the end of a shard."""
        rank, processes = self.trainer.global_rank, self.trainer.world_size
        # By their numbers: what is missing may look different to a process that starts later.
        own = [rows for shard, rows in self.missing.items() if shard % processes == rank]
        batches = [list(rows[i : i + self.batch_size]) for rows in own for i in range(0, len(rows), self.batch_size)]
        # A process without a shard gets an empty batch: Lightning takes no empty loader.
        return DataLoader(
            Batches(self.images, batches or [[]]),
            batch_size=None,
            num_workers=self.workers,
            generator=torch.Generator(),  # else a number is drawn from the user's
        )

    def on_predict_start(self) -> None:
        """Prepare for the device that the network is on by now."""
        lay_out(self.model)

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Run the network once, and write the shard where it is full."""
        growing = self._shard
        if len(batch.indices):
            growing.rows += batch.indices.tolist()
            growing.parts.append(self._pass(batch.pixels))
        growing.bad += batch.bad
        self._bad |= {bad.number: bad for bad in batch.bad}
        if len(self._bad) > self.images.source.max_bad_share * len(self.images):
            check_bad_share(self._bad.values(), len(self.images), self.images.source.max_bad_share)
        if growing.count:
            shard, rows = next((shard, rows) for shard, rows in self.missing.items() if growing.first in rows)
            if growing.count == len(rows):
                self._write(shard, growing)
                self._shard = _Growing()

    def _write(self, shard: int, growing: _Growing) -> None:
        skipped = [Skipped(bad.number, bad.path, bad.reason) for bad in growing.bad]
        found = _joined(growing.parts) if growing.parts else self._nothing()
        if self.stores.codes:
            self.stores.codes.write(shard, found.codes, growing.rows, skipped, found.middle)
        for store, (values, positions) in zip(self.stores.layers.values(), found.units, strict=True):
            if not store.path(shard).exists():
                store.write(shard, values, positions, growing.rows, skipped)

    def _pass(self, pixels: Tensor) -> Found:
        """Return what is kept of pixels (b, 3, S, S) uint8."""
        codes, middle = self.model.code_layer, self.middle
        layers = [wanted.layer for wanted in self.stores.layers]
        maps = self.model.activations(
            shown(pixels, self.model, self.batch_size), [*layers, codes, *([middle] if middle else [])]
        )
        activations = {name: activation[: len(pixels)] for name, activation in maps.items()}
        units = [wanted.of(activations[wanted.layer]) for wanted in self.stores.layers]
        return Found(
            [(values.cpu(), None if places is None else places.cpu()) for values, places in units],
            as_codes(activations[codes]).cpu(),
            as_codes(activations[middle]).cpu() if middle else None,
        )

    def _nothing(self) -> Found:
        """Return what is kept where no image of a shard is readable: arrays as wide as the others'."""
        side = self.model.input_size
        one = self._pass(torch.zeros(1, 3, side, side, dtype=torch.uint8, device=self.device))
        units = [(values[:0], None if places is None else places[:0]) for values, places in one.units]
        return Found(units, one.codes[:0], None if one.middle is None else one.middle[:0])


class Found(NamedTuple):
    """What is kept of b images."""

    units: list[tuple[Tensor, Tensor | None]]  # per layer the values and their positions, (b, units) each
    codes: Tensor  # (b, d)
    middle: Tensor | None  # (b, d)


def _joined(parts: Sequence[Found]) -> Found:
    middles = [part.middle for part in parts if part.middle is not None]
    units = []
    for of_layer in zip(*(part.units for part in parts), strict=True):
        places = [places for _, places in of_layer if places is not None]
        units.append((torch.cat([values for values, _ in of_layer]), torch.cat(places) if places else None))
    return Found(units, torch.cat([part.codes for part in parts]), torch.cat(middles) if middles else None)


def _opened(
    root: Path, wanted: Sequence[Wanted], folded: Sequence[bool], common: Mapping[str, Any], rows: int
) -> list[ActivationStore]:
    """Return each layer's store, beside that of the codes."""
    stores, shard_rows = [], fitting_shard_rows(rows)
    for layer, all_norms in zip(wanted, folded, strict=True):
        of_codes = {**common, "folded": all_norms}
        CodeStore(root / store_key(of_codes), of_codes, rows, shard_rows)
        of_layer = {
            **common,
            "layer": layer.layer,
            "position": str(layer.position),
            "interior": list(layer.interior) if layer.interior else None,
            CODES_IN: store_key(of_codes),
        }
        stores.append(ActivationStore(root / store_key(of_layer), of_layer, rows, shard_rows))
    return stores


def _passes(wanted: Sequence[Wanted], stores: Sequence[ActivationStore]) -> list[Stores]:
    """Return what is filled in one pass, pass by pass.

    Layers that share the codes are given together, to the bit, what each is given alone.
    """
    passes: dict[tuple[bool, int], Stores] = {}
    for layer, store in zip(wanted, stores, strict=True):
        for part in (store, store.code_store):
            if not part.complete:
                folded = bool(store.code_store.description["folded"])
                filled = passes.setdefault((folded, part.shard_rows), Stores(folded))
                if part is store:
                    filled.layers[layer] = store
                else:
                    filled.codes = store.code_store
    return list(passes.values())


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


def loader_workers(workers: int | str, accelerator: str, devices: int | str = 1) -> int:
    """Return how many processes decode for one of the `devices` on this machine.

    On a CPU decoding and the forward pass share the processors: another process would not add any.
    """
    if workers == AUTO:
        if accelerator == "cpu" or not torch.accelerator.is_available():
            return 0
        sharing = torch.accelerator.device_count() if devices == AUTO else int(devices)
        return max(1, min(MOST_WORKERS, processors() // sharing))
    check_count("machine.workers", workers, 0, "processes that decode images", AUTO)
    return int(workers)


def collect_layers(
    model: TargetModel,
    layers: Sequence[Wanted],
    source: ImageSource,
    root: str | Path,
    *,
    batch_size: int = 32,
    workers: int | str = AUTO,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    progress: bool = True,
    decoded: DecodedAhead | None = None,
) -> list[ActivationStore]:
    """Return the store of each layer's activations, beside that of the images' codes; what is stored is not read again.

    An image passes through the network once for all layers whose stores miss it. Those that a folded batch norm would
    change (`mfv.models.preparation.leaves_norms_folded`), as a convolution before one, take a second pass, in which
    none is folded: so what is stored of a layer is the same whatever others are collected. The layers of a pass share
    one store of the codes.

    Args:
        model: the network.
        layers: whose units' values are kept, in this order.
        source: the images.
        root: the folder of all stores. The store's own name in it follows from the network's
            weights, the layer, the images and how they are prepared.
        batch_size: images per forward pass; the maps of all layers are held at once.
        workers: processes that decode; 0 decodes in this one, by as many threads as there are processors.
            "auto" is 0 where the network computes on the CPU too, else a device's share of the processors, up to 16.
        accelerator: as Lightning's Trainer takes it.
        devices: processes on this machine, one per device; the shards are spread over them.
        num_nodes: machines, which share the folder.
        progress: whether to show a bar.
        decoded: images that are being decoded beside this process; that ends here.

    Raises:
        MfvError: more images are unreadable than `source.max_bad_share` allows.
        KeyboardInterrupt: the user stopped it; the shards that are finished stay.

    """
    preprocess = Preprocess(model.input_size, model.resize)
    common = {
        "model": model.name,
        "network": network_fingerprint(model),
        "codes": model.code_layer,
        "middle": model.anchor_layer,
        "images": distributed.first(lambda: source.fingerprint or f"not known: {uuid4().hex}"),  # never found again
        "transform": preprocess.description,
    }
    folded = leaves_norms_folded(model, [wanted.layer for wanted in layers], [model.code_layer, model.anchor_layer])
    stores = distributed.after_first(lambda: _opened(Path(root), layers, folded, common, len(source)))
    with ExitStack() as turns:
        for directory in sorted({store.directory for store in stores}):  # all runs in the same order
            turns.enter_context(taking_turns(directory))
        passes = distributed.first(lambda: _passes(layers, stores))
        waiting = {wanted for filled in passes for wanted in filled.layers}
        for wanted, store in zip(layers, stores, strict=True):
            store.touch()
            store.code_store.touch()
            if wanted not in waiting:
                logger.info("the activations of %d images are in %s: none is read again", store.rows, store.directory)
        if decoded:
            decoded.end()
        middle = model.anchor_layer if passes and answers(model, model.anchor_layer) else None
        for filled in passes:
            asked = [wanted.layer for wanted in filled.layers]
            kept = [*asked, model.code_layer, *([middle] if middle else [])]
            prepared = prepare(model, kept, folded=filled.folded, gradients=False)
            collector = Collector(
                prepared,
                filled,
                Images(source, preprocess, decoded),
                middle,
                batch_size,
                loader_workers(workers, accelerator, devices),
            )
            missing = sum(map(len, collector.missing.values()))
            bars = [StageBar("collect", missing, "images")] if progress else []
            with quiet_lightning(), started_processes(), interruptible():
                trainer = stage_trainer(root, accelerator, devices, num_nodes, bars, logger=False)
                trainer.predict(collector, return_predictions=False)
            distributed.meet()  # each has written its own shards
    skipped = {entry.row: entry for store in stores for entry in store.skipped}
    check_bad_share(
        [BadImage(entry.row, entry.path, entry.reason) for entry in skipped.values()], len(source), source.max_bad_share
    )
    for entry in skipped.values():
        logger.warning("skipped %s: %s", entry.path, entry.reason)
    return stores
