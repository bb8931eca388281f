"""Lightning's trainer as mfv's stages use it: a named progress bar, no chatter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from tqdm import tqdm


class StageBar(TQDMProgressBar):
    """A progress bar that says which stage it shows.

    Args:
        stage: the word in front, for example "render".
        refresh_rate: redraw each this many batches.

    """

    def __init__(self, stage: str, refresh_rate: int = 1):
        super().__init__(refresh_rate=refresh_rate)
        self.stage = stage

    def init_train_tqdm(self) -> Any:
        """Return the bar of a fit."""
        return self._named(super().init_train_tqdm())

    def init_predict_tqdm(self) -> Any:
        """Return the bar of a prediction."""
        return self._named(super().init_predict_tqdm())

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Show the stage where Lightning would show an epoch."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(self.stage)

    def on_predict_batch_start(self, trainer: Trainer, *args: Any) -> None:
        """Show the stage where Lightning would show a data loader."""
        super().on_predict_batch_start(trainer, *args)
        self.predict_progress_bar.set_description(self.stage)

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return the figures beside the bar: one decimal, no version number."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return {name: f"{value:.1f}" if isinstance(value, float) else value for name, value in metrics.items()}

    def _named(self, bar: tqdm) -> tqdm:
        bar.set_description(self.stage)
        return bar


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's remarks on things that are meant: no workers, no validation, CPU chosen on purpose."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="pytorch_lightning.*")
            warnings.filterwarnings("ignore", module="lightning.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
