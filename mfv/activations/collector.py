"""One pass over the images: the layer's activations and the codes, by Lightning's predict."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, Subset

from mfv.activations.store import ActivationStore, Skipped, store_key
from mfv.activations.values import as_codes, interior_values, unit_values
from mfv.data.loading import BadImage, Batch, Images, check_bad_share, collate, processors
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.errors import MfvError
from mfv.models.fingerprint import network_fingerprint
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.progress import StageBar, quiet_lightning

AUTO = "auto"
MOST_WORKERS = 8

logger = logging.getLogger("mfv")


class Collector(LightningModule):
    """Writes a layer's unit values and the codes of each batch into a store.

    Args:
        model: the network.
        layer: whose units' values are kept.
        position: where in a map a unit's value is read (`unit_values`).
        store: takes the rows, in order.
        source: the images, for the errors.
        interior: the rows and columns of the map that count; None for all (`View.interior`).

    """

    def __init__(
        self,
        model: TargetModel,
        layer: str,
        position: str | None,
        store: ActivationStore,
        source: ImageSource,
        interior: tuple[int, int] | None = None,
    ):
        super().__init__()
        self.model, self.layer, self.position = model, layer, position
        self.store, self.source, self.interior = store, source, interior

    def predict_step(self, batch: Batch, batch_idx: int) -> None:
        """Run the network once and write what was asked for."""
        skipped = [Skipped(bad.number, bad.path, bad.reason) for bad in batch.bad]
        empty = torch.empty(0, 0)
        values, positions, codes = empty, None, empty
        if len(batch.indices):
            layers = [self.layer, self.model.code_layer]
            pixels = batch.pixels.float().div_(255)
            activations = self.model.activations(pixels.contiguous(memory_format=torch.channels_last), layers)
            if self.interior and self.position in (None, "max"):
                values, positions = interior_values(activations[self.layer], self.interior, self.position)
            else:
                values, positions = unit_values(activations[self.layer], self.position)
            codes = as_codes(activations[self.model.code_layer])
        self.store.write(batch.indices.tolist(), values, positions, codes, skipped)
        bad = [BadImage(entry.row, entry.path, entry.reason) for entry in self.store.skipped]
        if len(bad) > self.source.max_bad_share * len(self.source):
            check_bad_share(bad, len(self.source), self.source.max_bad_share)


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
        progress: whether to show a bar.

    Raises:
        MfvError: more images are unreadable than `source.max_bad_share` allows.

    """
    preprocess = Preprocess(model.input_size, model.resize)
    description = {
        "model": model.name,
        "network": network_fingerprint(model),
        "layer": layer,
        "position": str(position),
        "interior": list(interior) if interior else None,
        "codes": model.code_layer,
        "images": source.fingerprint,
        "transform": preprocess.description,
    }
    store = ActivationStore(Path(root) / store_key(description), description, len(source))
    if store.complete:
        logger.info("the activations of %d images are in %s: none is read again", store.rows, store.directory)
    else:
        loader = DataLoader(
            Subset(Images(source, preprocess), range(store.done, store.rows)),
            batch_size=batch_size,
            num_workers=loader_workers(workers, accelerator),
            collate_fn=collate,
            persistent_workers=False,
        )
        with quiet_lightning():
            trainer = Trainer(
                accelerator=accelerator,
                devices=1,
                logger=False,
                callbacks=[StageBar("collect")] if progress else [],
                default_root_dir=root,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=progress,
            )
            prepared = prepare(model, keep=[layer, model.code_layer])
            collector = Collector(prepared, layer, position, store, source, interior)
            trainer.predict(collector, loader, return_predictions=False)
        if not store.complete:
            raise KeyboardInterrupt
    for entry in store.skipped:
        logger.warning("skipped %s: %s", entry.path, entry.reason)
    return store
