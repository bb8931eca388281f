"""What a terminal shows of a run: a line per stage, with its rate and the time left. And Lightning without chatter."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

NAME = 9  # characters of a stage's name
COUNTED = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_noinv_fmt}{postfix}]"
JOB = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}]"
UNCOUNTED = "{desc}     [{elapsed}]"
PACKAGES = ("pytorch_lightning", "lightning_fabric", "lightning")
REDRAWN = 0.2  # seconds, at the least, from one drawing of a line to the next
TICK = 1.0  # seconds between the drawings of a stage that does not count

_jobs: list[tqdm] = []  # the lines of what is at work over many units: the stages of one come and go beneath it


def stage_line(
    stage: str,
    total: int | None = None,
    unit: str = "",
    initial: int = 0,
    beneath: int | None = None,
    form: str = COUNTED,
) -> tqdm:
    """Return the line of a stage: with a bar where it is known how much there is to do, else with the time alone.

    Args:
        stage: its name.
        total: how much there is to do; None where nobody knows.
        unit: what is counted, in the plural: "images".
        initial: how much of it was done before.
        beneath: under how many other lines; the line is gone at the end, where there are any. By default those here.
        form: of a line with a bar, as tqdm takes it.

    """
    others = len(_jobs) if beneath is None else beneath
    return tqdm(
        desc=f"{stage:<{NAME}}",
        total=total,
        unit=f" {unit}",
        initial=initial,
        bar_format=UNCOUNTED if total is None else form,
        dynamic_ncols=True,
        mininterval=REDRAWN,
        leave=not others,
        position=others,
    )


@contextmanager
def ticking(stage: str) -> Iterator[None]:
    """Show how long a stage takes that does not count."""
    line, over = stage_line(stage), threading.Event()

    def tick() -> None:
        while not over.wait(TICK):
            line.refresh()

    clock = threading.Thread(target=tick, daemon=True)
    clock.start()
    try:
        yield
    finally:
        over.set()
        clock.join()
        line.close()


@contextmanager
def job_line(total: int, unit: str, done: int = 0) -> Iterator[tqdm]:
    """Show how far a job of many units is, above the line of the stage in hand."""
    line = stage_line("job", total, unit, done, form=JOB)
    _jobs.append(line)
    try:
        yield line
    finally:
        _jobs.remove(line)
        line.close()


@contextmanager
def beside_messages() -> Iterator[None]:
    """Let what is logged appear above the lines, not among them."""
    with logging_redirect_tqdm():
        yield


class StageBar(Callback):
    """The line of a stage that Lightning runs.

    Args:
        stage: its name.
        total: how much there is to do, for all processes.
        unit: what is counted: "steps", or "images" where a batch counts as many as it holds.

    """

    def __init__(self, stage: str, total: int, unit: str):
        self.stage, self.total, self.unit = stage, total, unit
        self.beneath = len(_jobs)  # another process does not know of them
        self._line: tqdm | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show how many steps were made before."""
        self._open(trainer, trainer.global_step)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show that nothing is done yet."""
        self._open(trainer, 0)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        """Count a step, and show the mean activation."""
        if self._line is not None:
            value = trainer.progress_bar_metrics.get("activation")
            if value is not None:
                self._line.set_postfix_str(f"activation {value:.1f}", refresh=False)
            self._line.update()

    def on_predict_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *args: Any
    ) -> None:
        """Count a batch's images, those of all processes: they get equal shares."""
        if self._line is not None:
            images = len(batch.indices) + len(batch.bad)
            self._line.update(min(images * trainer.world_size, self.total - self._line.n))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the line as it is."""
        self._close()

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the line as it is."""
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the line as it is."""
        self._close()

    def _open(self, trainer: Trainer, done: int) -> None:
        if trainer.is_global_zero:
            self._line = stage_line(self.stage, self.total, self.unit, done, self.beneath)

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Silence Lightning's remarks on things that are meant: no workers, no validation, CPU chosen on purpose."""
    levels = [logger.level for logger in _talkers()]
    try:
        with warnings.catch_warnings():
            silence_lightning()
            yield
    finally:
        for logger, level in zip(_talkers(), levels, strict=True):
            logger.setLevel(level)


def silence_lightning() -> None:
    """Do so for good, in a process that works for another one."""
    for logger in _talkers():
        logger.setLevel(logging.ERROR)
    for package in PACKAGES:
        warnings.filterwarnings("ignore", module=rf"{package}\b.*")


def _talkers() -> list[logging.Logger]:
    return [logging.getLogger(name) for name in (*PACKAGES, "lightning.pytorch", "lightning.fabric")]
