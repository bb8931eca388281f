"""The whole way, from a unit to its painted facets, with plain arguments: the paper's Algorithm 1."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor

from mfv import distributed
from mfv.activations.collector import Wanted, collect_layers
from mfv.activations.contributions import contributions
from mfv.activations.store import ActivationStore
from mfv.activations.view import View, tell_of_first_token, view_in
from mfv.data.decoded_ahead import DecodedAhead
from mfv.data.loading import Images, read
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.discovery.attribution import ATTRIBUTION
from mfv.discovery.refinement import Refinement
from mfv.discovery.selection import Selection
from mfv.errors import MfvError
from mfv.evaluation.framing import frames
from mfv.evaluation.judge import Judge, check_independent
from mfv.evaluation.numbers import evaluate
from mfv.evaluation.transfer import class_of_unit
from mfv.evaluation.verdict import Reference, Verdict, judge_facets
from mfv.helpers import Helpers
from mfv.interruption import Interrupted
from mfv.machine import Machine
from mfv.models.target import TargetModel
from mfv.rendering.maximizer import resized
from mfv.rendering.octave import Recipe
from mfv.rendering.parts import UnitPart
from mfv.rendering.rendering import Rendering, RenderingStopped
from mfv.rendering.stage import RESULT, bound_part, finished, render_units
from mfv.rendering.subject import UnitSubject
from mfv.structures import FacetSet, Unit
from mfv.timer import Timer
from mfv.unit_images import (
    Discovery,
    clusters_of,
    codes_to_cluster,
    facet_set_of,
    load_windows,
    mean_of,
    measured_field,
    selected_rows,
    start_of,
    stored_codes,
)

SENT = 1 << 26  # bytes of codes that go to a helper

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Result:
    """A finished unit, with all that a report shows."""

    facet_set: FacetSet
    rendering: Rendering
    exemplars: tuple[Tensor, ...]  # per facet (m, 3, h, w) uint8, nearest first
    thumbnails: Tensor  # (n, 3, h, w) uint8: the unit's images, in the facet set's order


@dataclass(frozen=True)
class Layer:
    """A layer whose units' activations are collected."""

    name: str
    view: View  # how its units' images are shown
    store: ActivationStore
    timer: Timer


@dataclass(frozen=True)
class Plan:
    """A unit whose facets are found, and all that is needed to render them."""

    found: FacetSet
    starts: Tensor  # (k, 3, h, w) in [0, 1]
    part: UnitPart
    windows: Tensor | None  # (n, 3, s, s) uint8: what the network is shown of the unit's images; None: loaded again
    directory: Path  # of the unit's results
    timer: Timer

    def lighter(self) -> Plan:
        """Return the same without the images, for many plans at once."""
        return replace(self, windows=None)


@dataclass(frozen=True)
class Experiment:
    """What is asked of units, whichever they are: the images, the methods, the machine.

    Its stages are to be called in this order: `collect` for a layer, `discover` for each unit, `render` for one or
    several units together, `judge` for each. A stage that finds its own results in its directory takes those.

    Args:
        model: the network.
        source: the images.
        facets: how many, or "auto" (`facet_count`).
        discovery: the method that clusters the codes, or, where its attribute `codes` says "attribution", what the
            units below contribute (`contributions`).
        recipe: how the images are rendered.
        selection: which images count as the unit's.
        refinement: what becomes of facets that are too alike or too small.
        judge_model: a second network that the visualizations are judged with (`mfv.evaluation`); None for none.
        position: where in a map a unit's value is read (`unit_values`).
        exemplar_count: images that a mean image is made of (the paper: 15).
        seed: fixes every random number.
        machine: what to use of it.
        loggers: get curves and images.
        snapshot_every: steps between the images that are kept.
        checkpoint_every: steps between checkpoints.
        level: at which the stages of a single unit are logged.
        decoded: images that are being decoded before they are collected.

    Raises:
        MfvError: the judge is the model itself.

    """

    model: TargetModel
    source: ImageSource
    facets: int | str
    discovery: Discovery
    recipe: Recipe
    selection: Selection = field(default_factory=Selection)
    refinement: Refinement = field(default_factory=Refinement)
    judge_model: TargetModel | None = None
    position: str | None = None
    exemplar_count: int = 15
    seed: int = 0
    machine: Machine = field(default_factory=Machine)
    loggers: Sequence[Logger] = ()
    snapshot_every: int = 50
    checkpoint_every: int = 50
    level: int = logging.INFO
    decoded: DecodedAhead | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.seed, int) or isinstance(self.seed, bool):
            raise MfvError(f"seed is {self.seed!r}; give a whole number")
        if self.judge_model is not None:
            check_independent(self.model, self.judge_model)

    def run(self, unit: Unit, directory: str | Path | None = None, store_root: str | Path | None = None) -> Result:
        """Find a unit's facets among the images and render one image for each.

        Args:
            unit: whose facets.
            directory: of the run. A run that finds its own finished stages there goes on behind them; by default one
                that is removed.
            store_root: the folder of the activation stores, shared by all runs; by default one that is removed.

        Raises:
            MfvError: something that was given does not fit; the message says what to do.
            Interrupted: the user stopped it while there were images; it has them.

        """
        with directories(directory, store_root) as (run_directory, stores):
            layer = self.collect(unit.layer, stores)
            plan = self.discover(layer, unit, run_directory)
            steps = plan.part.recipe.steps
            try:
                (rendering,) = self.render(layer, [plan], run_directory)
            except Interrupted as stop:
                raise Interrupted(stop.partial[0], stop.step, steps) from None
            try:
                return self.judge(layer, plan, rendering)
            except KeyboardInterrupt:
                raise Interrupted(_with_images(layer, plan, rendering), steps, steps) from None

    def collect(self, layer: str, stores: Path) -> Layer:
        """Collect the activations of a layer on all images: one pass serves all units."""
        return self.collect_layers([layer], stores)[0]

    def collect_layers(self, layers: Sequence[str], stores: Path) -> list[Layer]:
        """Collect the activations of several layers: one pass serves them all."""
        machine, timer = self.machine, Timer(shown=self.machine.progress)
        names = [self.model.before_activation(layer) for layer in layers]
        for name in names if self.position in (None, "class") else ():
            tell_of_first_token(self.model, name)
        views = [view_in(self.model, name, measured_field(self.model, name), self.position) for name in names]
        wanted = [Wanted(name, self.position, view.interior) for name, view in zip(names, views, strict=True)]
        with timer("collect", has_bar=True):
            found = collect_layers(
                self.model, wanted, self.source, stores, batch_size=machine.batch_size, workers=machine.workers,
                accelerator=machine.accelerator, devices=machine.devices, num_nodes=machine.num_nodes,
                progress=machine.progress, decoded=self.decoded,
            )  # fmt: skip
        return [Layer(name, view, store, timer) for name, view, store in zip(names, views, found, strict=True)]

    @property
    def shared(self) -> list[object]:
        """What every process has of the objects that a plan refers to: plans of one recipe share its parts."""
        octaves = self.recipe.octaves
        regularizers = [part for octave in octaves for part in octave.regularizers]
        return [self.model, self.recipe.parameterization, *(octave.objective for octave in octaves), *regularizers]

    def discover(self, layer: Layer, unit: Unit, directory: Path) -> Plan:
        """Select a unit's images and cluster their codes, unless its facets are in the directory already."""
        return self.begin_to_discover(layer, unit, directory, Helpers())()

    def begin_to_discover(self, layer: Layer, unit: Unit, directory: Path, helpers: Helpers) -> Callable[[], Plan]:
        """Select a unit's images and have their codes clustered; return what waits for it, and makes the plan."""
        view, store, timer = layer.view, layer.store, Timer(self.level, self.machine.progress)
        if (directory / "facets.json").exists():
            logger.log(self.level, "facets found before: %s", directory / "facets.json")
            return lambda: self._known_plan(layer, unit, directory, timer)
        with timer("select"):
            chosen = selected_rows(self.model, unit, self.source, store, self.selection, self.facets)
            windows = self._windows(layer, chosen, unit)
            if getattr(self.discovery, "codes", None) == ATTRIBUTION:
                codes = contributions(self.model, layer.name, unit.index, view.position, windows)
            else:
                codes = codes_to_cluster(self.model, view, windows, store, chosen)
        able = helpers if codes.nbytes <= SENT else Helpers()
        clustered = able.begin(clusters_of, codes, self.facets, self.discovery, self.refinement, self.seed)

        def plan() -> Plan:
            with timer("discover"):
                words = dict(zip(self.model.synsets, self.model.labels, strict=False))
                found = facet_set_of(
                    unit, self.source, view, windows, store, chosen, clustered(), self.exemplar_count, words,
                    Preprocess(self.model.input_size, self.model.resize),
                )  # fmt: skip
            found = found.with_(timing=timer.seconds)
            found.save(directory)
            return self._plan(layer, found, chosen, windows, directory, timer)

        return plan

    def _known_plan(self, layer: Layer, unit: Unit, directory: Path, timer: Timer) -> Plan:
        found = FacetSet.load(directory)
        if (found.unit.layer, found.unit.index) != (unit.layer, unit.index):
            raise MfvError(f"{directory} holds the facets of {found.unit}, not of {unit}: choose another directory")
        chosen = np.array([self.source.index_of(id) for id in found.ids])
        return self._plan(layer, found, chosen, self._windows(layer, chosen, found.unit), directory, timer)

    def _plan(
        self, layer: Layer, found: FacetSet, chosen: np.ndarray, windows: Tensor, directory: Path, timer: Timer
    ) -> Plan:
        """Return all that is needed to render a unit's facets."""
        unit, view, store = found.unit, layer.view, layer.store
        subject = UnitSubject(
            self.model, layer.name, unit.index, view.position, windows, found.assignment, found.activations, view.crops,
            None if view.crops else stored_codes(self.model, store, chosen),
        )  # fmt: skip
        starts = torch.stack([start_of(found, facet, windows, self.recipe) for facet in found.facets])
        part = bound_part(self.recipe, subject, len(found))
        return Plan(found, starts, part, windows, directory, timer)

    def render(self, layer: Layer, plans: Sequence[Plan], directory: Path) -> list[Rendering]:
        """Render all facets of the planned units together, unless that was done in the directory before.

        Raises:
            NotFinite: images are no numbers.
            Interrupted: the user stopped it; of each unit it has the facets with the images so far.

        """
        if self.decoded:
            self.decoded.forget()  # a rendering wants its memory
        result_file, machine = directory / RESULT, self.machine
        if distributed.first(result_file.exists):
            logger.info("images rendered before: %s", result_file)
            return finished(directory, [len(plan.starts) for plan in plans])
        timer = Timer(shown=machine.progress)
        try:
            with timer("render", has_bar=True):
                renderings = render_units(
                    self.model, [plan.part for plan in plans], [plan.starts for plan in plans],
                    seed=self.seed, input_size=layer.view.size, directory=directory,
                    accelerator=machine.accelerator, devices=machine.devices, num_nodes=machine.num_nodes,
                    loggers=self.loggers, snapshot_every=self.snapshot_every, checkpoint_every=self.checkpoint_every,
                    progress=machine.progress, acceleration=machine.acceleration, shown=layer.view.seen,
                )  # fmt: skip
        except RenderingStopped as stop:
            pairs = zip(plans, stop.renderings, strict=True)
            so_far = [_with_images(layer, plan, rendering) for plan, rendering in pairs]
            raise Interrupted(so_far, stop.step, stop.steps) from None
        every = sum(len(plan.starts) for plan in plans)
        for plan in plans:
            plan.timer.seconds["render"] = timer.seconds["render"] * len(plan.starts) / every
        return renderings

    def judge(self, layer: Layer, plan: Plan, rendering: Rendering) -> Result:
        """Measure a unit's images, by the network's own account and by the second network's, and save the facets."""
        found, unit, view, timer = plan.found, plan.found.unit, layer.view, plan.timer
        rows = np.array([self.source.index_of(id) for id in found.ids])
        windows = self._windows(layer, rows, unit) if plan.windows is None else plan.windows
        with timer("evaluate"):
            means = torch.stack([mean_of(found, facet, windows) for facet in found.facets])
            final = evaluate(
                found, self.model, layer.name, unit.index, view.position, means,
                resized(rendering.images, view.size).clamp(0, 1), layer.name if view.crops else self.model.code_layer,
            )  # fmt: skip
            final = final.with_(images=view.seen(rendering.images))
        if self.judge_model is not None:
            with timer("judge"):
                verdict = _verdict(
                    final, self.model, self._second_network, self.source, view, windows, self.seed
                )  # fmt: skip
                final = verdict.applied(final)
        earlier = {stage: seconds for stage, seconds in found.timing.items() if stage != "judge"}
        final = final.with_(timing={**layer.timer.seconds, **earlier, **timer.seconds})
        final.save(plan.directory)
        row_of = {id: row for row, id in enumerate(found.ids)}
        shown = view.seen(windows)
        return Result(
            facet_set=final,
            rendering=replace(
                rendering, snapshots={step: view.seen(some) for step, some in rendering.snapshots.items()}
            ),
            exemplars=tuple(shown[[row_of[id] for id in facet.exemplars]] for facet in final.facets),
            thumbnails=shown,
        )

    @cached_property
    def _second_network(self) -> Judge:
        assert self.judge_model is not None, "only a run with a judge is judged"
        return Judge(self.judge_model, self.machine.device)

    def _windows(self, layer: Layer, rows: np.ndarray, unit: Unit) -> Tensor:
        images = Images(self.source, Preprocess(self.model.input_size, self.model.resize), self.decoded)
        return load_windows(images, layer.view, rows.tolist(), layer.store, unit.index)


def _with_images(layer: Layer, plan: Plan, rendering: Rendering) -> FacetSet:
    return plan.found.with_(images=layer.view.seen(rendering.images))


def _verdict(
    found: FacetSet,
    model: TargetModel,
    judge: Judge,
    source: ImageSource,
    view: View,
    windows: Tensor,
    seed: int,
) -> Verdict:
    """Have the second network look at photographs and visualizations: whole, or the receptive fields of both."""
    rows = [source.index_of(id) for id in found.ids]
    whole = [] if view.crops else read(source, rows, lambda image: frames([image], judge.size))
    photographs = torch.cat(whole) if whole else view.seen(windows)
    class_index = class_of_unit(model, found.unit.layer, found.unit.index, judge)
    reference = Reference(judge, photographs, found.assignment, class_index)
    assert found.images is not None, "only a rendered facet set can be judged"
    return judge_facets(reference, found, found.images, seed=seed)


@contextmanager
def directories(directory: str | Path | None, store_root: str | Path | None) -> Iterator[tuple[Path, Path]]:
    """Give both folders; those not asked for are temporary."""
    temporary = Path(tempfile.mkdtemp()) if directory is None or store_root is None else None
    try:
        run = Path(directory) if directory is not None else (temporary or Path()) / "run"
        store = Path(store_root) if store_root is not None else (temporary or Path()) / "store"
        run.mkdir(parents=True, exist_ok=True)
        yield run, store
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
