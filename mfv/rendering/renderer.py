"""The LightningModule whose parameters are the facet images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.loggers import Logger
from torch import Tensor
from torch.utils.data import DataLoader

from mfv.interruption import Wish
from mfv.models.acceleration import Acceleration
from mfv.models.target import TargetModel
from mfv.rendering.maximizer import ActivationMaximizer
from mfv.rendering.parts import UnitPart, own_parts
from mfv.rendering.rendering import Rendering
from mfv.rendering.sharding import gather, interleave, own_rows
from mfv.reports.loggers import log_images

STATE = "mfv"  # where a checkpoint keeps the images and what goes with them


class FacetRenderer(LightningModule):
    """Renders all facets in one `fit`, spread over the processes (`ShardedStrategy`).

    Args:
        model: the network under study.
        parts: the units, with their facets (`ActivationMaximizer`).
        starts: (k, 3, H, W) in [0, 1], unit by unit.
        result: the file that the first process writes when all is done.
        seed: of the run.
        input_size: the side of what the network is shown.
        snapshot_every: keep and log the images each this many steps; 0 for never.
        acceleration: what may make the network's passes faster.
        shown: the part of images (k, 3, h, w) that the loggers get; by default all of them.

    Attributes:
        wish: of the user, to stop after the step in hand.
        stopped: the images so far, where the user had that wish.

    """

    def __init__(
        self,
        model: TargetModel,
        parts: Sequence[UnitPart],
        starts: Tensor,
        result: Path,
        *,
        seed: int = 0,
        input_size: int | None = None,
        snapshot_every: int = 50,
        acceleration: Acceleration | None = None,
        shown: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.strict_loading = False
        self.parts, self.recipe = list(parts), parts[0].recipe
        self._given = (model,)  # not as a module of ours: Lightning would move it, and it is the user's
        self.starts, self.result = starts, Path(result)
        self.seed, self.input_size, self.snapshot_every = seed, input_size, snapshot_every
        self.acceleration, self.shown = acceleration, shown
        self.maximizer: ActivationMaximizer | None = None
        self.snapshots: dict[int, Tensor] = {}
        self.steps_done = 0
        self.wish = Wish()
        self.stopped: Rendering | None = None

    # --- the images -----------------------------------------------------------------------------

    def configure_model(self) -> None:
        """Make this process's images (Lightning may ask twice)."""
        if self.maximizer is None:
            rows = own_rows(len(self.starts), self.trainer.global_rank, self.trainer.world_size)
            self.maximizer = ActivationMaximizer(
                self._given[0],
                own_parts(self.parts, rows),
                self.starts[rows],
                seed=self.seed,
                input_size=self.input_size,
                acceleration=self.acceleration,
            )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the recipe's optimizer of the images."""
        return self.recipe.make_optimizer(self.images.canvas)

    def train_dataloader(self) -> DataLoader:
        """Return one item per step."""
        # By itself a loader draws a number from the user's generator.
        return DataLoader(range(self.recipe.steps), batch_size=None, generator=torch.Generator())  # type: ignore[arg-type]

    def training_step(self, batch: Any, batch_idx: int) -> None:
        """Make one step of activation maximization."""
        self.images.step(self.optimizers(), self.steps_done)  # type: ignore[arg-type]
        values = self.images.curves[self.steps_done]
        if len(values):
            self.log("activation", values.mean(), prog_bar=True, logger=False)
        self.steps_done += 1
        self._keep()
        self.trainer.should_stop = self.wish.asked

    def _keep(self) -> None:
        """Keep and log the images from time to time, before a checkpoint is written; all processes do so together."""
        if self.snapshot_every and self.steps_done % self.snapshot_every == 0:
            images = self._whole(self.images.pixels().cpu())
            self.snapshots[self.steps_done] = (images * 255).round().byte()
            self._log(images, self._whole(self.images.curves.cpu(), dim=1), self.snapshot_every)

    def on_train_end(self) -> None:
        """Bring the images together; the first process writes them, once they are finished."""
        images = self._whole(self.images.result().float().cpu())
        curves = self._whole(self.images.curves.cpu(), dim=1)
        rendering = Rendering(images, curves, self.snapshots)
        if self.wish.asked:
            self.stopped = rendering
        if self.steps_done == self.recipe.steps and self.trainer.is_global_zero:
            rendering.save(self.result)
            rest = self.steps_done % self.snapshot_every if self.snapshot_every else 0
            if rest:
                self._log(images, curves, rest)

    # --- checkpoints: whole images, so that another number of processes can go on -----------------

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """Return nothing: the network is not ours to save, and the images have a place of their own."""
        return {}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Gather all images, and what goes with each, from all processes."""
        maximizer = self.images
        memory_keys = sorted({key for keys in gather(list(maximizer.memory), self._processes) for key in keys})
        checkpoint[STATE] = {
            "steps_done": self.steps_done,
            "parameterization": type(self.recipe.parameterization).__name__,
            "canvas": self._whole(maximizer.canvas.detach().cpu()),
            "curves": self._whole(maximizer.curves.cpu(), dim=1),
            "memory": {key: self._whole(self._memory(key).cpu()) for key in memory_keys},
            "snapshots": self.snapshots,
        }
        for state in checkpoint["optimizer_states"]:  # new dictionaries: these are the optimizer's own
            state["state"] = {
                key: {
                    name: self._whole(value.cpu()) if _per_image(value, maximizer.canvas) else value
                    for name, value in values.items()
                }
                for key, values in state["state"].items()
            }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take this process's share of what `on_save_checkpoint` gathered."""
        self.configure_model()
        maximizer, state = self.images, checkpoint[STATE]
        rows = own_rows(len(self.starts), self.trainer.global_rank, self._processes)
        self.steps_done, self.snapshots = state["steps_done"], dict(state["snapshots"])
        device = maximizer.canvas.device
        maximizer.canvas.data = state["canvas"][rows].to(device)
        maximizer.curves.copy_(state["curves"][:, rows])
        maximizer.memory = {key: value[rows].to(device) for key, value in state["memory"].items()}
        for optimizer in checkpoint["optimizer_states"]:
            for values in optimizer["state"].values():
                for name, value in values.items():
                    if _per_image(value, state["canvas"]):
                        values[name] = value[rows]

    @property
    def images(self) -> ActivationMaximizer:
        """This process's images; there from `configure_model` on."""
        assert self.maximizer is not None, "the images are made in configure_model"
        return self.maximizer

    @property
    def _processes(self) -> int:
        return self.trainer.world_size

    def _memory(self, key: str) -> Tensor:
        return self.images.memory.get(key, self.images.canvas.new_zeros(0))

    def _whole(self, shard: Tensor, dim: int = 0) -> Tensor:
        return interleave(gather(shard, self._processes), dim)

    def _log(self, images: Tensor, curves: Tensor, steps: int) -> None:
        """Log the images, and the curves of so many last steps."""
        if not self.trainer.is_global_zero:
            return
        loggers: list[Logger] = list(self.loggers)  # type: ignore[arg-type]
        for step in range(self.steps_done - steps, self.steps_done):
            metrics = {f"activation/facet_{k:02d}": float(value) for k, value in enumerate(curves[step])}
            for logger in loggers:
                logger.log_metrics(metrics, step)
        captions = [f"facet {k}" for k in range(len(images))]
        log_images(loggers, images if self.shown is None else self.shown(images), captions, self.steps_done - 1)


def _per_image(value: Any, canvas: Tensor) -> bool:
    return isinstance(value, Tensor) and value.ndim == canvas.ndim and value.shape[1:] == canvas.shape[1:]
