"""Runs with all that they leave: one unit's, and many units' with an index page over them."""

from __future__ import annotations

import logging
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pytorch_lightning.loggers import Logger

from mfv import distributed
from mfv.activations.store import ActivationStore
from mfv.errors import MfvError
from mfv.experiment import Experiment, Plan, Result
from mfv.helpers import Helpers
from mfv.progress import job_line
from mfv.reports.index import read_entry, write_index, write_strip
from mfv.reports.loggers import close_loggers, log_files, log_rendering, log_table, log_units
from mfv.reports.report import write_report
from mfv.reports.summary import summary_table
from mfv.structures import FacetSet, Unit
from mfv.timer import Timer
from mfv.waves import Failure, run_units

KEPT = ("facets.json", "facets.safetensors", "contact_sheet.png", "gallery.html")  # of a run, as W&B's artifact
PAGE = "gallery.html"  # what is written last of a unit: where it is, nothing is left to do
NAMES_UNITS = ("unit", "layer", "hydra.run.dir")  # settings of a job that its single units have of their own
UNLOGGED = "unlogged"  # but to log it, where this file is

logger = logging.getLogger("mfv")


def run_unit(
    experiment: Experiment,
    unit: Unit,
    directory: Path,
    stores: Path,
    command: str = "",
    loggers: Sequence[Logger] = (),
) -> FacetSet:
    """Find and paint the facets of one unit, and leave the report in the run's directory."""
    layer = experiment.collect(unit.layer, stores)
    found: list[Plan] = []  # in the first process, which alone judges: with the images

    def discover() -> Plan:
        found.append(experiment.discover(layer, unit, directory))
        return found[0].lighter()

    plan = distributed.first(discover)
    (rendering,) = experiment.render(layer, [plan], directory)

    def finish() -> FacetSet:
        result = experiment.judge(layer, found[0], rendering)
        timer = Timer(shown=experiment.machine.progress)
        with timer("report"):
            page = report(result, directory, command)
            log_result(loggers, result, directory, layer.store)
        facet_set = result.facet_set
        logger.info("%s", summary_table(facet_set.with_(timing={**facet_set.timing, **timer.seconds})))
        logger.info("contact sheet  %s", directory / "contact_sheet.png")
        logger.info("gallery        %s", page)
        return facet_set

    return distributed.first(finish)


@dataclass(frozen=True)
class Finished:
    """A unit of which the report is written."""

    unit: Unit
    facets: int
    result: Result | None  # for its own loggers, without the thumbnails; None where it has none


@dataclass(frozen=True)
class UnitsJob:
    """Many units, of one layer or several, in one run.

    Attributes:
        experiment: what is asked of each unit.
        directory: of the run; each unit gets a folder of its own in it.
        stores: the folder of the activation stores.
        command: what makes the job, for the pages.
        loggers: get one table of all units, a row each.
        loggers_of: opens loggers for a unit, in its own directory, which get what a run of its own would log. Of
            processes that were started together the first one logs.

    """

    experiment: Experiment
    directory: Path
    stores: Path
    command: str = ""
    loggers: Sequence[Logger] = ()
    loggers_of: Callable[[Unit, Path], Sequence[Logger]] | None = None

    def run(self, units: Mapping[str, Sequence[Unit]]) -> list[FacetSet]:
        """Do what is left to do of each layer's units, and keep the index up to date.

        Raises:
            MfvError: at the end, where nothing became of some units; it lists them.

        """
        _check_folders(units)
        places = {unit: self.place(unit) for some in units.values() for unit in some}
        entries = {place: read_entry(place, self.directory) for place in places.values() if is_done(place)}
        others = [place for place in sorted(self.directory.glob("*/unit_*")) if place not in places.values()]
        asked_before = [read_entry(place, self.directory) for place in others if is_done(place)]
        failures: list[str] = []

        def index() -> Path:
            known = [entries[place] for place in places.values() if place in entries]
            waiting = len(places) - len(known) - len(failures)
            return write_index([*known, *asked_before], self.directory, waiting, failures, self.command)

        def take(done: Finished | Failure, store: ActivationStore) -> None:
            if isinstance(done, Failure):
                logger.error("%s: %s", done.unit, done.message)
                failures.append(f"{done.unit}: {done.message}")
            else:
                self.log(done, store)
                place = self.place(done.unit)
                entries[place] = read_entry(place, self.directory)
            index()

        def end() -> None:
            logger.info("index          %s", index())
            log_units(self.loggers, [entries[place] for place in places.values() if place in entries], self.directory)
            if failures:
                raise MfvError("\n".join([f"nothing became of {len(failures)} of {len(places)} units:", *failures]))

        shown = self.experiment.machine.progress and distributed.rank() == 0
        line_of_job = job_line(len(places), "units", len(entries)) if shown else nullcontext()
        with line_of_job as line, Helpers(self.experiment.machine.helping) as helpers:
            left = distributed.first(lambda: [layer for layer, some in units.items() if not self.are_done(some)])
            layers = self.experiment.collect_layers(left, self.stores) if left else []
            for layer, collected in zip(left, layers, strict=True):
                some = units[layer]
                root, finish = self.directory / folder_of(layer), partial(self.finish, helpers=helpers)
                for done in run_units(self.experiment, collected, some, root, self.place, is_done, finish, helpers):
                    if distributed.rank() == 0:
                        take(done, collected.store)
                    if line is not None:
                        line.update()
        distributed.first(end)
        return [FacetSet.load(place) for place in places.values()]

    def are_done(self, units: Sequence[Unit]) -> bool:
        """Say whether nothing is left to do of a layer's units, so that no image needs to be looked at."""
        return all(is_done(self.place(unit)) for unit in units)

    def place(self, unit: Unit) -> Path:
        """Return a unit's own directory."""
        return self.directory / folder_of(unit.layer) / f"unit_{unit.index:04d}"

    def finish(self, result: Result, helpers: Helpers) -> Callable[[], Finished]:
        """Have a unit's report written; return what waits for it."""
        unit, facets = result.facet_set.unit, len(result.facet_set)
        place, logged = self.place(unit), self.loggers_of is not None
        written = helpers.begin(report_of_many, result, place, of_one(self.command, unit), logged)
        kept = replace(result, thumbnails=result.thumbnails[:0]) if logged else None

        def finished() -> Finished:
            with Timer(self.experiment.level, self.experiment.machine.progress)("report"):
                written()
            return Finished(unit, facets, kept)

        return finished

    def log(self, finished: Finished, store: ActivationStore) -> None:
        """Say that a unit is done, and log it as a run of its own where that is asked for."""
        unit, result, place = finished.unit, finished.result, self.place(finished.unit)
        if self.loggers_of is not None and result is not None:
            opened, rendering = self.loggers_of(unit, place), result.rendering
            captions = [f"facet {facet.index}" for facet in result.facet_set.facets]
            images = result.facet_set.images if self.experiment.snapshot_every else None
            try:
                log_rendering(opened, rendering.curves, rendering.snapshots, images, captions)
                log_result(opened, result, place, store)
            finally:
                close_loggers(opened)
        (place / UNLOGGED).unlink(missing_ok=True)
        logger.info("%s: %d facets, gallery %s", unit, finished.facets, place / PAGE)


def log_result(loggers: Sequence[Logger], result: Result, directory: Path, store: ActivationStore) -> None:
    """Log a unit's final table, and its files beside the store that they came from."""
    log_table(loggers, result.facet_set, [images.float() / 255 for images in result.exemplars])
    files = [directory / name for name in KEPT if (directory / name).exists()]
    log_files(loggers, files, store.directory, {**store.description, "images": store.rows})


def report_of_many(result: Result, directory: Path, command: str, logged: bool) -> None:
    """Write what is left of a unit of many; its gallery says that nothing is left to do, but to log it."""
    directory.mkdir(parents=True, exist_ok=True)
    write_strip(result.facet_set, directory)
    if logged:
        (directory / UNLOGGED).touch()
    report(result, directory, command)


def report(result: Result, directory: Path, command: str = "") -> Path:
    """Write a unit's pictures, curves and gallery; return the gallery's place."""
    rendering = result.rendering
    return write_report(
        result.facet_set, result.exemplars, result.thumbnails, rendering.curves, rendering.snapshots, directory, command
    )


def is_done(place: Path) -> bool:
    """Say whether nothing is left to do of a unit."""
    return (place / PAGE).exists() and not (place / UNLOGGED).exists()


def folder_of(layer: str) -> str:
    """Return the name of a layer's folder."""
    return layer.replace(":", "_").replace("/", "_") or "output"


def _check_folders(layers: Iterable[str]) -> None:
    """Raise `MfvError` for layers that would share a folder, as the output ("") and a module of that name."""
    of_folder: dict[str, str] = {}
    for layer in layers:
        if (other := of_folder.setdefault(folder_of(layer), layer)) != layer:
            raise MfvError(
                f"layers {other!r} and {layer!r} would share the folder {folder_of(layer)!r}: ask for them in two "
                "jobs, each with a directory of its own"
            )


def of_one(command: str, unit: Unit) -> str:
    """Return the command that makes one unit of a job, alone."""
    others = [word for word in shlex.split(command) if word.lstrip("+").partition("=")[0] not in NAMES_UNITS]
    layer = f'"{unit.layer}"' if re.fullmatch(r"[\d.]*", unit.layer) else unit.layer  # else it is read as a number
    return shlex.join([*others, f"layer={layer}", f"unit={unit.index}"]) if others else ""
