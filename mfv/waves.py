"""Many units of a layer in one job: their facets are rendered together, and each unit's results land as it is done."""

from __future__ import annotations

import json
import logging
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

from mfv import distributed
from mfv.errors import MfvError
from mfv.experiment import Experiment, Layer, Plan, Result
from mfv.helpers import Helpers
from mfv.rendering.rendering import NotFinite, check_numbers
from mfv.structures import Unit, write_json

WAVES = "waves"  # the folder of what is being rendered
LISTED = "units.json"  # in a wave's folder: its units
ON_CPU, ON_GPU = 64, 512  # images of a wave, for each process

S = TypeVar("S")
T = TypeVar("T")

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
    finish: Callable[[Result], Callable[[], T]],
    helpers: Helpers,
) -> Iterator[T | Failure]:
    """Find and render the facets of many units; give what became of each one, or why nothing did.

    The facets of consecutive units form a wave: they are rendered in one go, in full batches, those of units with as
    many facets side by side (`mfv.rendering.parts.joined_parts`). What a facet becomes does not depend on the others.
    A wave that was begun is finished first, as it was begun, whatever the number of processes and the units asked for
    now; where one of its units cannot be planned any more, the others are rendered anew. Processes that were
    started together take the units in turn, to find their facets and to judge and finish them, and each gives what
    became of all.

    Args:
        experiment: what is asked of each unit.
        layer: theirs, collected.
        units: in this order.
        directory: of the job; the waves in progress lie in it.
        place: gives a unit's own directory.
        is_done: says of a unit's directory whether nothing is left to do there: such units are passed over.
        finish: begins to make of a unit's result what is left of it, and returns what waits for the end; from then on
            `is_done` says so.
        helpers: cluster the codes of the next units and finish the last ones meanwhile.

    """
    waves = directory / WAVES
    plan_of: _Ahead[Unit, Plan] = _Ahead(
        lambda unit: _light_plan(experiment.begin_to_discover(layer, unit, place(unit), helpers))
    )
    asked = {unit.index for unit in units}
    failed: set[int] = set()

    def left(some: Sequence[Unit]) -> list[Unit]:
        return [unit for unit in some if unit.index not in failed and not is_done(place(unit))]

    def planned(some: Sequence[Unit]) -> list[Plan | Failure]:
        return _shared_out(some, lambda unit: _or_failure(unit, lambda: plan_of(unit)), experiment.shared)

    for folder in distributed.first(lambda: sorted(waves.glob("*"))):
        listed = distributed.first(partial(_listed, folder, units))
        wanted = distributed.first(partial(left, listed))
        if wanted:
            for unit, done in _go_on(experiment, layer, listed, planned, wanted, folder, finish, helpers):
                if isinstance(done, Failure):
                    failed.add(unit.index)
                if unit.index in asked:
                    yield done
        distributed.first(partial(shutil.rmtree, folder))
    waiting = distributed.first(lambda: left(units))
    most = images_of_a_wave(experiment)
    while waiting:
        plans: list[Plan] = []
        while waiting and sum(len(plan.starts) for plan in plans) < most:
            for unit in waiting[: distributed.count()]:
                logger.info("%s", unit)
            plan_of.begin(waiting[distributed.rank() :: distributed.count()][: 1 + helpers.count])
            some, waiting = waiting[: distributed.count()], waiting[distributed.count() :]
            for found in planned(some):
                if isinstance(found, Failure):
                    yield found
                else:
                    plans.append(found)
        if plans:
            plans.sort(key=lambda plan: len(plan.starts))  # neighbours with as many facets are one part of a step
            folder = waves / f"{plans[0].found.unit.index:06d}"
            distributed.first(partial(_begin, folder, plans))
            for _, done in _wave(experiment, layer, plans, units, folder, finish, helpers):
                yield done
            distributed.first(partial(shutil.rmtree, folder))


class _Ahead(Generic[S, T]):
    """Work that is begun before its turn; a mistake is raised when it is."""

    def __init__(self, begin: Callable[[S], Callable[[], T]]):
        self._begin = partial(_begun, begin)
        self._pending: dict[S, Callable[[], T]] = {}

    def begin(self, items: Sequence[S]) -> None:
        """Begin the work on those items that is not begun yet."""
        for item in items:
            if item not in self._pending:
                self._pending[item] = self._begin(item)

    def __call__(self, item: S) -> T:
        return (self._pending.pop(item, None) or self._begin(item))()


def images_of_a_wave(experiment: Experiment) -> int:
    """Return how many images are rendered together, at least: enough for full batches on all processes."""
    machine = experiment.machine
    return (ON_CPU if machine.device.type == "cpu" else ON_GPU) * machine.processes


def _listed(folder: Path, units: Sequence[Unit]) -> list[Unit]:
    """Return the units of a wave that was begun; none where it was broken off before they were written down.

    Units that are not asked for now may be among them.
    """
    known = {unit.index: unit for unit in units}
    try:
        listed = json.loads((folder / LISTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [known.get(index) or replace(units[0], index=index, label=None) for index in listed]


def _begin(folder: Path, plans: Sequence[Plan]) -> None:
    """Write down which units make up a wave."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / LISTED, [plan.found.unit.index for plan in plans])


def _light_plan(plan: Callable[[], Plan]) -> Callable[[], Plan]:
    return lambda: plan().lighter()


def _begun(begin: Callable[[S], Callable[[], T]], item: S) -> Callable[[], T]:
    """Begin some work, and return what waits for it; a mistake is raised by that."""
    try:
        return begin(item)
    except MfvError as error:
        return partial(_raise, error)


def _raise(error: MfvError) -> NoReturn:
    raise error


def _or_failure(unit: Unit, work: Callable[[], T]) -> T | Failure:
    try:
        return work()
    except MfvError as error:
        return Failure(unit, str(error))


def _go_on(
    experiment: Experiment,
    layer: Layer,
    listed: Sequence[Unit],
    planned: Callable[[Sequence[Unit]], list[Plan | Failure]],
    wanted: Sequence[Unit],
    folder: Path,
    finish: Callable[[Result], Callable[[], T]],
    helpers: Helpers,
) -> Iterable[tuple[Unit, T | Failure]]:
    """Finish a wave that was begun, as `_wave` does.

    Where some of its units cannot be planned any more it cannot go on: these are given, and the others rendered anew.
    """
    begun = [each for some in _rounds(listed) for each in planned(some)]
    if failures := [each for each in begun if isinstance(each, Failure)]:
        return [(failure.unit, failure) for failure in failures]
    plans = [each for each in begun if isinstance(each, Plan)]
    return _wave(experiment, layer, plans, wanted, folder, finish, helpers)


def _wave(
    experiment: Experiment,
    layer: Layer,
    plans: Sequence[Plan],
    wanted: Sequence[Unit],
    folder: Path,
    finish: Callable[[Result], Callable[[], T]],
    helpers: Helpers,
) -> Iterator[tuple[Unit, T | Failure]]:
    """Render a wave, finish those units that are wanted, and give what became of each of these."""
    count = sum(len(plan.starts) for plan in plans)
    logger.info("%d images of %d units", count, len(plans))
    try:
        renderings = experiment.render(layer, plans, folder)
    except NotFinite as error:  # of some units: the others' are whole
        renderings = error.renderings
    indices = {unit.index for unit in wanted}
    rendered = [pair for pair in zip(plans, renderings, strict=True) if pair[0].found.unit.index in indices]

    def begin(number: int) -> Callable[[], T]:
        plan, rendering = rendered[number]
        check_numbers([rendering])
        return finish(experiment.judge(layer, plan, rendering))

    finished: _Ahead[int, T] = _Ahead(begin)

    def became(number: int) -> tuple[Unit, T | Failure]:
        unit = rendered[number][0].found.unit
        return unit, _or_failure(unit, lambda: finished(number))

    begun: deque[Sequence[int]] = deque()
    for some in _rounds(range(len(rendered))):
        finished.begin(some[distributed.rank() :][:1])
        begun.append(some)
        if len(begun) > helpers.count:
            yield from _shared_out(begun.popleft(), became)
    for some in begun:
        yield from _shared_out(some, became)


def _rounds(items: Sequence[S]) -> Iterator[Sequence[S]]:
    """Give so many at a time that each process has one."""
    for begun in range(0, len(items), distributed.count()):
        yield items[begun : begun + distributed.count()]


def _shared_out(items: Sequence[S], work: Callable[[S], T], known: Sequence[object] = ()) -> list[T]:
    """Do the work of at most one item per process, and give in each what became of all."""
    done = distributed.together(
        lambda: work(items[distributed.rank()]) if distributed.rank() < len(items) else None, known
    )
    return done[: len(items)]  # type: ignore[return-value]
