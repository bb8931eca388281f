"""From a configuration to a finished run: with the command line and the presets, the only place that knows Hydra."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mfv import distributed, fork_server
from mfv.early import check_early
from mfv.errors import MfvError
from mfv.interruption import ending_at_once
from mfv.libraries import loading_libraries, plots_postponed
from mfv.machine import Machine
from mfv.models.choice import layer_names, names_several, position_name
from mfv.presets import make, resolved
from mfv.replacing import replacing
from mfv.run_lock import alone_in
from mfv.structures import holds_results
from mfv.writing import writing

if TYPE_CHECKING:
    from pytorch_lightning.loggers import Logger

    from mfv.data.decoded_ahead import DecodedAhead
    from mfv.data.source import ImageSource
    from mfv.experiment import Experiment
    from mfv.models.target import TargetModel
    from mfv.structures import FacetSet, Unit

# What may differ between a run and its resumption: images do not depend on it but by rounding.
FREE_KEYS = ("machine", "evaluation", "logger", "name", "checkpoint_every", "store")
ROWS, RUNS = "rows", "runs"  # what a unit of many is to a logger

logger = logging.getLogger("mfv")


def run(config: DictConfig, directory: str | Path, command: str = "", sweep: Path | None = None) -> list[FacetSet]:
    """Make one run: collect, then per unit select, discover, render, judge, report.

    Args:
        config: as conf/ composes it.
        directory: of the run; a run begun there before is finished.
        command: what reproduces the run, for the gallery.
        sweep: the folder of the sweep that the run belongs to; W&B gets its name.

    Returns:
        The facets of the unit; where several are asked for, of each that has any.

    Raises:
        MfvError: the configuration does not fit; the message names the value, the place and the remedy. Of several
            units: those of which nothing became; the others are finished.

    """
    settings = distributed.first(lambda: resolved(config))
    directory = distributed.first(lambda: Path(directory))  # the first one's: its name may be the time
    results = {"hydra.sweep.dir": sweep} if sweep else {"hydra.run.dir": directory}
    with writing({**results, "store.root": settings["store"]["root"]}):
        distributed.together(lambda: _check(settings))
        with alone_in(directory, "hydra.run.dir"), ExitStack() as ending:
            return _run(config, settings, directory, command, sweep.name if sweep else None, ending)


def _run(
    config: DictConfig,
    settings: dict[str, Any],
    directory: Path,
    command: str,
    group: str | None,
    ending: ExitStack,
) -> list[FacetSet]:
    earlier = distributed.first(lambda: claim(directory, settings))
    several = names_several(settings["layer"], settings["unit"])
    machine = Machine(**settings["machine"])
    if distributed.count() == 1 and fork_server.asks_for_several(machine.devices, machine.num_nodes):
        fork_server.begin_loading(*(fork_server.HELPERS_NEED if several else ()))  # beside what this process loads
    with ending_at_once(fork_server.end), loading_libraries(), plots_postponed():
        experiment, units = distributed.after_first(lambda: _prepared(config, settings, ending))

        from mfv.claims import claim_inputs
        from mfv.finished import RENDERING
        from mfv.jobs import PAGE, UnitsJob, run_unit
        from mfv.progress import beside_messages
        from mfv.reports.loggers import close_loggers, make_loggers

    distributed.first(lambda: claim_inputs(directory, experiment.model, experiment.source))
    if several and machine.helping:
        fork_server.begin_loading(*fork_server.HELPERS_NEED)
    one = next(iter(units.values()))[0]
    layers = ", ".join(layer or "the output" for layer in units)
    title = f"{sum(map(len, units.values()))} units of {layers}" if several else str(one)
    source = experiment.source
    logger.info("%s · facets: %s · %d images of %s", title, config.facets, len(source), source.name)
    kind = "units" if several else "unit"
    name = f"{config.name} {title}" if several else f"{config.name} {one.layer} {one.index}"
    runs = several and _units_as(config.logger.get("units", ROWS)) == RUNS
    loggers: list[Logger] = []  # of processes that were started together the first one logs
    if not runs:
        distributed.first(
            lambda: loggers.extend(make_loggers(config.logger.names, directory, settings, name, group, job_type=kind))
        )

    def loggers_of(unit: Unit, place: Path) -> list[Logger]:
        own = f"{config.name} {unit.layer} {unit.index}"
        return make_loggers(config.logger.names, place, settings, own, group or directory.name, job_type="unit")

    store = Path(config.store.root)
    try:
        with beside_messages():
            if several:
                job = UnitsJob(experiment, directory, store, command, loggers, loggers_of if runs else None)
                pages = [job.place(unit) / PAGE for some in units.values() for unit in some]
                unlogged = runs and earlier is not None and earlier.get("logger") != settings["logger"]
                distributed.first(lambda: _tell_of_finished(pages, experiment, unlogged))
                return job.run(units)
            if earlier is not None and earlier.get("logger") != settings["logger"] and (directory / RENDERING).exists():
                logger.warning(
                    "the rendering was finished with other loggers: those of now get its results, not its curves and "
                    "steps, which come with a run in another folder"
                )
            return [run_unit(replace(experiment, loggers=loggers), one, directory, store, command, loggers)]
    finally:
        close_loggers(loggers)


def _check(settings: dict[str, Any]) -> None:
    check_early(settings)
    distributed.check(settings["machine"]["devices"], settings["machine"]["num_nodes"])


def _prepared(
    config: DictConfig, settings: dict[str, Any], ending: ExitStack
) -> tuple[Experiment, dict[str, list[Unit]]]:
    """Return what is asked of the units, and the units of each layer; `ending` ends what is begun meanwhile."""
    # Each stage's libraries are loaded when the stage before has found no mistake: a name that is wrong
    # is answered while PyTorch or Lightning are not there yet.
    discovery = make(config.discovery, "discovery")
    source = make(config.data, "data")
    recipe = make(config.render, "render")

    from mfv.models.units import check_labels, resolve_units

    model = make(config.model, "model")
    asked = settings["unit"] if settings["unit"] is not None else model.default_unit
    layers = [model.canonical(layer) for layer in layer_names(settings["layer"], model.default_layer)]
    check_labels(model, layers[0], settings["model"].get("labels"))
    units = {layer: resolve_units(model, layer, asked) for layer in layers}
    machine = Machine(**{**settings["machine"], "progress": with_bars(config.machine.progress)})
    decoded = _decoded_ahead(model, layers, source, machine, Path(config.store.root), ending)

    from mfv.discovery.refinement import Refinement
    from mfv.discovery.selection import Selection
    from mfv.evaluation.offline import find_judge
    from mfv.experiment import Experiment

    experiment = Experiment(
        model,
        source,
        facets=config.facets,
        discovery=discovery,
        recipe=recipe,
        selection=Selection(config.select.by, config.select.count),
        refinement=Refinement(config.refine.merge, config.refine.smallest),
        judge_model=find_judge(make(config.evaluation, "evaluation")["judge"], model),
        position=position_name(settings["position"]),
        exemplar_count=config.exemplars,
        seed=config.seed,
        machine=machine,
        snapshot_every=config.snapshot_every,
        checkpoint_every=config.checkpoint_every,
        level=logging.DEBUG if names_several(settings["layer"], settings["unit"]) else logging.INFO,
        decoded=decoded,
    )
    return experiment, units


def _decoded_ahead(
    model: TargetModel, layers: Sequence[str], source: ImageSource, machine: Machine, root: Path, ending: ExitStack
) -> DecodedAhead | None:
    """Have images decoded while libraries are loaded, where this process is to decode them itself."""
    alone = distributed.count() == 1 and machine.processes == 1
    decodes = machine.device.type == "cpu" and machine.workers in ("auto", 0)
    if not (alone and decodes) or "pytorch_lightning" in sys.modules:
        return None

    from mfv.activations.store import seems_stored
    from mfv.data.decoded_ahead import DecodedAhead
    from mfv.data.transforms import Preprocess

    names = [model.before_activation(layer) for layer in layers]
    if all(seems_stored(root, model.name, name, source.fingerprint) for name in names):
        return None
    return ending.enter_context(DecodedAhead(source, Preprocess(model.input_size, model.resize)))


def config_of_run(directory: str | Path) -> DictConfig:
    """Return the configuration that a run was made with, or the job that it is a unit of.

    Raises:
        MfvError: there is no config.yaml.

    """
    directory = Path(directory)
    for place in (directory, *list(directory.resolve().parents)[:2]):
        if (place / "config.yaml").exists():
            config = OmegaConf.load(place / "config.yaml")
            assert isinstance(config, DictConfig), "a run's configuration is a mapping"
            return config
    raise MfvError(f"{directory} holds no config.yaml, which names the images: give a directory that run.py made")


def source_of_run(directory: str | Path) -> ImageSource:
    """Return the images that a run was made of, as its configuration names them.

    Raises:
        MfvError: there is no configuration, or the images are no longer there.

    """
    return make(config_of_run(directory).data, "data")


def with_bars(setting: bool | str) -> bool:
    """Say whether progress bars are shown: by "auto" where there is a terminal whose cursor moves."""
    if distributed.rank():  # the first process shows them
        return False
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb" if setting == "auto" else bool(setting)


def _units_as(kind: Any) -> str:
    if kind not in (ROWS, RUNS):
        raise MfvError(
            f"logger.units is {kind!r}; of many units each is one of the {ROWS} of a table, or {RUNS} of its own"
        )
    return str(kind)


def _tell_of_finished(pages: Sequence[Path], experiment: Experiment, unlogged: bool) -> None:
    """Warn of units that were finished without what is asked for now: they are not done again.

    Args:
        pages: of the job's units, which stand where a unit is finished.
        experiment: what is asked for.
        unlogged: whether the loggers that units get were others before.

    """
    finished = [page.parent for page in pages if page.exists()]
    judge = experiment.judge_model.name if experiment.judge_model else None
    remedy = "stay so; the same command does a unit again whose gallery.html is removed"
    others = sum(_judge_of(place) != judge for place in finished) if judge else 0
    if others:
        logger.warning("units that were finished without the judge %s (%d) %s", judge, others, remedy)
    if unlogged and finished:
        logger.warning("units that were finished with other loggers (%d) %s", len(finished), remedy)


def _judge_of(place: Path) -> str | None:
    return json.loads((place / "facets.json").read_text(encoding="utf-8"))["metrics"].get("judge")


def claim(directory: Path, settings: dict[str, Any]) -> dict[Any, Any] | None:
    """Write the configuration into a run's directory; return the one that was there.

    Raises:
        MfvError: a run with another one was begun there.

    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / "config.yaml"
    known = OmegaConf.to_container(OmegaConf.load(path)) if path.exists() else None
    assert known is None or isinstance(known, dict)
    if known is not None:
        changed = sorted(_differences(_essential(known), _essential(settings)))
        if changed and holds_results(directory):
            raise MfvError(
                f"{directory} holds a run with another configuration (it differs in {', '.join(changed)}): choose "
                "another hydra.run.dir (of a sweep: hydra.sweep.dir, or a hydra.sweep.subdir that tells its jobs "
                "apart), or give the settings that the run was begun with"
            )
    with replacing(path) as part:
        OmegaConf.save(OmegaConf.create(settings), part)
    return known


def _essential(settings: dict[Any, Any]) -> dict[Any, Any]:
    essential = {key: value for key, value in settings.items() if key not in FREE_KEYS}
    if isinstance(render := essential.get("render"), dict):
        essential["render"] = {key: value for key, value in render.items() if key != "batch_size"}
    return essential


def _differences(one: Any, other: Any, place: str = "") -> Sequence[str]:
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            difference
            for key in {*one, *other}
            for difference in _differences(one.get(key), other.get(key), f"{place}.{key}" if place else str(key))
        ]
    return [] if one == other else [place]
