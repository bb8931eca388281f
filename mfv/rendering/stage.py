"""From units' facets to their images."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from torch import Tensor

from mfv import distributed
from mfv.errors import MfvError, check_intervals
from mfv.interruption import interruptible
from mfv.joining import bound_to
from mfv.models.acceleration import Acceleration
from mfv.models.target import TargetModel
from mfv.objectives.base import Objective
from mfv.objectives.unit import UnitActivation
from mfv.processes import stage_trainer, started_processes, strategy
from mfv.progress import StageBar, quiet_lightning
from mfv.rendering.checkpoint import RenderCheckpoint
from mfv.rendering.octave import Recipe
from mfv.rendering.parts import UnitPart
from mfv.rendering.renderer import FacetRenderer
from mfv.rendering.rendering import NotFinite, Rendering, RenderingStopped, check_numbers
from mfv.rendering.subject import UnitSubject

RESULT, CHECKPOINT = "render.safetensors", "render.ckpt"  # in a rendering's directory


def render(model: TargetModel, recipe: Recipe, subject: UnitSubject, starts: Tensor, **options: Any) -> Rendering:
    """Render a unit's facets by activation maximization: `render_units` for a single one.

    Args:
        model: the network.
        recipe: octaves, start, optimizer.
        subject: the unit and its images, for the objectives.
        starts: (k, 3, H, W) in [0, 1], one per facet.
        **options: as `render_units` takes them.

    """
    return render_units(model, [bound_part(recipe, subject, len(starts))], [starts], **options)[0]


def bound_part(recipe: Recipe, subject: UnitSubject, facets: int) -> UnitPart:
    """Return a unit's share of a rendering, with all that recipe and objectives need of its images."""
    recipe = recipe.bind(subject)
    bound = {id(octave.objective): bound_to(subject, octave.objective, Objective) for octave in recipe.octaves}
    objectives = [bound[id(octave.objective)] for octave in recipe.octaves]
    return UnitPart(
        recipe, objectives, torch.arange(facets), watch=UnitActivation().bind(subject), known=subject.facets
    )


def render_units(
    model: TargetModel,
    parts: Sequence[UnitPart],
    starts: Sequence[Tensor],
    *,
    seed: int = 0,
    input_size: int | None = None,
    directory: str | Path | None = None,
    accelerator: str = "auto",
    devices: int | str = 1,
    num_nodes: int = 1,
    loggers: Sequence[Logger] = (),
    snapshot_every: int = 50,
    checkpoint_every: int = 50,
    progress: bool = True,
    acceleration: Acceleration | None = None,
    shown: Callable[[Tensor], Tensor] | None = None,
) -> list[Rendering]:
    """Render all facets of units by activation maximization, all in one batch per process.

    A facet's image does not depend on what else is in the batch: with other units or alone, it is the same.

    Args:
        model: the network.
        parts: the units' (`bound_part`).
        starts: of each unit, (k, 3, H, W) in [0, 1], one per facet.
        seed: fixes every random number.
        input_size: the side of what the network is shown; by default the model's input size.
        directory: where the checkpoint and the result are kept; a run that finds its own checkpoint
            there goes on from it. By default a folder that is removed afterwards.
        accelerator: as Lightning's Trainer takes it.
        devices: processes on this machine, one per device; the images are spread over them.
        num_nodes: machines.
        loggers: get the curves and the images as they grow.
        snapshot_every: steps between the images kept and logged; 0 for none.
        checkpoint_every: steps between checkpoints.
        progress: whether to show a bar.
        acceleration: what may make the network's passes faster; by default nothing.
        shown: the part of images (k, 3, h, w) that the loggers get (`View.seen`); by default all of them.

    Returns:
        What became of each unit's facets, in their order.

    Raises:
        MfvError: the checkpoint is of another rendering, or the machine has no such devices; the checkpoint stays.
        NotFinite: images are no numbers.
        RenderingStopped: the user stopped it; the checkpoint is of the last step. Of several processes, or where the
            user insists: a plain KeyboardInterrupt, and the checkpoint is the last one.

    """
    if directory is None:
        with tempfile.TemporaryDirectory() as temporary:
            return render_units(
                model, parts, starts, seed=seed, input_size=input_size, directory=temporary,
                accelerator=accelerator, devices=devices, num_nodes=num_nodes, loggers=loggers,
                snapshot_every=snapshot_every, checkpoint_every=checkpoint_every, progress=progress,
                acceleration=acceleration, shown=shown,
            )  # fmt: skip
    check_intervals(snapshot_every, checkpoint_every)
    directory = Path(directory)
    result, checkpoint = directory / RESULT, directory / CHECKPOINT
    directory.mkdir(parents=True, exist_ok=True)
    recipe, every, sizes = parts[0].recipe, torch.cat(list(starts)), [len(own) for own in starts]
    module = FacetRenderer(
        model,
        parts,
        every,
        result,
        seed=seed,
        input_size=input_size,
        snapshot_every=snapshot_every,
        acceleration=acceleration,
        shown=shown,
    )
    alone = (
        strategy(devices, num_nodes, accelerator) == "auto"
    )  # of several processes' images the last checkpoint has those so far
    callbacks: list[Callback] = [RenderCheckpoint(checkpoint, checkpoint_every)]
    if progress:
        callbacks.append(StageBar("render", recipe.steps, "steps"))
    try:
        with quiet_lightning(), started_processes(), interruptible(step_by_step=alone) as wish:
            module.wish = wish
            trainer = stage_trainer(
                directory, accelerator, devices, num_nodes, callbacks,
                max_epochs=1, max_steps=recipe.steps, logger=list(loggers) or False,
            )  # fmt: skip
            trainer.fit(module, ckpt_path=_usable(checkpoint, every, recipe))
    except KeyboardInterrupt:
        if module.stopped is None:
            raise
        raise RenderingStopped(module.stopped.split(sizes), module.steps_done, recipe.steps) from None
    distributed.meet()  # the first process has written the result
    return finished(directory, sizes)


def finished(directory: Path, sizes: Sequence[int]) -> list[Rendering]:
    """Return a finished rendering that lies in a directory, as that of so many facets of each unit.

    Raises:
        NotFinite: images are no numbers. Then nothing of it stays, as there is nothing to go on from.

    """
    result, checkpoint = directory / RESULT, directory / CHECKPOINT
    renderings = Rendering.load(result).split(sizes)
    distributed.meet()  # all have read it
    try:
        check_numbers(renderings)
    except NotFinite:
        if distributed.rank() == 0:
            result.unlink(missing_ok=True)
        raise
    finally:
        if distributed.rank() == 0:
            checkpoint.unlink(missing_ok=True)
    return renderings


def _usable(checkpoint: Path, starts: Tensor, recipe: Recipe) -> Path | None:
    if not checkpoint.exists():
        return None
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["mfv"]
    steps, facets = state["curves"].shape
    if state["steps_done"] == recipe.steps:  # of an earlier version, which died before it wrote the result
        return None
    found = (f"{facets} facets", f"{steps} steps", state["parameterization"])
    now = (f"{len(starts)} facets", f"{recipe.steps} steps", type(recipe.parameterization).__name__)
    if found != now:
        raise MfvError(
            f"{checkpoint} is of another rendering ({', '.join(found)}; now {', '.join(now)}): "
            f"remove it, or choose another run directory"
        )
    return checkpoint
