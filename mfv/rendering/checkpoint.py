"""Checkpoints of a rendering that a kill cannot spoil."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer


class RenderCheckpoint(Callback):
    """Write one checkpoint from time to time, and where the user stops; each in one move in place of the last.

    None is of the last step, behind which the result is written: Lightning would find nothing left to do.

    Args:
        path: the file.
        every: steps between checkpoints.

    """

    def __init__(self, path: Path, every: int):
        self.path, self.every = Path(path), every

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Save where it is time; every process takes part."""
        due = trainer.global_step % self.every == 0 or trainer.should_stop
        if due and trainer.global_step < trainer.max_steps:
            temporary = self.path.with_name(self.path.name + ".part")
            trainer.save_checkpoint(temporary)
            if trainer.is_global_zero:
                os.replace(temporary, self.path)
