"""Many units of a layer in one job: their facets are rendered together, and each unit's results land as it is done."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mfv.errors import MfvError
from mfv.experiment import Experiment, Layer, Plan, Result
from mfv.structures import Unit, write_json

WAVES = "waves"  # the folder of what is being rendered
LISTED = "units.json"  # in a wave's folder: its units
ON_CPU, ON_GPU = 64, 512  # images of a wave, for each process

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Failure:
    """A unit of which nothing became."""

    unit: Unit
    message: str


def run_units(
    experiment: Experiment,
    layer: Layer,
    units: Sequence[Unit],
    directory: Path,
    place: Callable[[Unit], Path],
    is_done: Callable[[Path], bool],
) -> Iterator[Result | Failure]:
    """Find and render the facets of many units; give each one's result, or why there is none.

    The facets of consecutive units form a wave: they are rendered in one go, in full batches. What a facet
    becomes does not depend on the others. A wave that was begun is finished first, as it was begun, whatever
    the number of processes now.

    Args:
        experiment: what is asked of each unit.
        layer: theirs, collected.
        units: in this order.
        directory: of the job; the waves in progress lie in it.
        place: gives a unit's own directory.
        is_done: says of a unit's directory whether nothing is left to do there: such units are passed over. It is
            asked again when the caller has taken the unit's result.

    """
    for folder in sorted((directory / WAVES).glob("*")):
        listed = _listed(folder, units)
        left = [unit for unit in listed if not is_done(place(unit))]
        if left:
            plans = [experiment.discover(layer, unit, place(unit)).lighter() for unit in listed]
            yield from _wave(experiment, layer, plans, left, folder)
        else:
            shutil.rmtree(folder)
    waiting = [unit for unit in units if not is_done(place(unit))]
    most = images_of_a_wave(experiment)
    while waiting:
        plans = []
        while waiting and sum(len(plan.starts) for plan in plans) < most:
            unit = waiting.pop(0)
            logger.info("%s", unit)
            try:
                plans.append(experiment.discover(layer, unit, place(unit)).lighter())
            except MfvError as error:
                yield Failure(unit, str(error))
        if plans:
            folder = directory / WAVES / f"{plans[0].found.unit.index:06d}"
            folder.mkdir(parents=True, exist_ok=True)
            write_json(folder / LISTED, [plan.found.unit.index for plan in plans])
            yield from _wave(experiment, layer, plans, units, folder)


def images_of_a_wave(experiment: Experiment) -> int:
    """Return how many images are rendered together, at least: enough for full batches on all processes."""
    machine = experiment.machine
    return (ON_CPU if machine.device.type == "cpu" else ON_GPU) * machine.processes


def _listed(folder: Path, units: Sequence[Unit]) -> list[Unit]:
    """Return the units of a wave that was begun; none where it was broken off before they were written down.

    Nor where units are among them that are not asked for now.
    """
    known = {unit.index: unit for unit in units}
    try:
        return [known[index] for index in json.loads((folder / LISTED).read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError):
        return []


def _wave(
    experiment: Experiment, layer: Layer, plans: Sequence[Plan], wanted: Sequence[Unit], folder: Path
) -> Iterator[Result]:
    """Render a wave, and give the results of those units that are wanted."""
    count = sum(len(plan.starts) for plan in plans)
    logger.info("%d images of %d units", count, len(plans))
    renderings = experiment.render(layer, plans, folder)
    for plan, rendering in zip(plans, renderings, strict=True):
        if plan.found.unit in wanted:
            yield experiment.judge(layer, plan, rendering)
    shutil.rmtree(folder)
