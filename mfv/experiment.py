"""The whole way, from a unit to its painted facets, with plain arguments: the paper's Algorithm 1."""

from __future__ import annotations

import logging
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning.loggers import Logger
from torch import Tensor

from mfv.activations.collector import collect
from mfv.activations.receptive_field import ReceptiveField, receptive_field
from mfv.activations.store import ActivationStore
from mfv.activations.values import as_codes
from mfv.activations.view import View, to_bytes, unit_view
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess, crop_resized
from mfv.discovery.automatic import facet_count
from mfv.discovery.facets import exemplars, facet_members, mean_image
from mfv.discovery.selection import Selection
from mfv.errors import MfvError
from mfv.evaluation.judge import Judge, check_independent
from mfv.evaluation.numbers import evaluate
from mfv.evaluation.transfer import class_of_unit
from mfv.evaluation.verdict import Reference, Verdict, judge_facets
from mfv.models.acceleration import Acceleration
from mfv.models.target import TargetModel
from mfv.rendering.maximizer import resized
from mfv.rendering.octave import Recipe
from mfv.rendering.render import render
from mfv.rendering.rendering import Rendering
from mfv.rendering.starts import at_natural_contrast
from mfv.rendering.subject import UnitSubject
from mfv.structures import Clustering, Facet, FacetSet, Unit

AUTO = "auto"
Discovery = Callable[[np.ndarray, int, int], Clustering]  # codes (n, d), facets, seed

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Machine:
    """What a run uses of the machine.

    Attributes:
        accelerator: as Lightning's Trainer takes it: auto, cpu, gpu, mps …
        devices: how many; the facets are spread over them.
        num_nodes: how many machines.
        workers: processes that decode images; 0 decodes in the main one, "auto" as `collect` says.
        batch_size: images per forward pass of the collection.
        progress: whether to show bars.
        precision: of the network's passes while rendering: float32, bfloat16 or float16 (`Acceleration`).
        compile: whether to try `torch.compile` on them.

    """

    accelerator: str = "auto"
    devices: int | str = 1
    num_nodes: int = 1
    workers: int | str = "auto"
    batch_size: int = 32
    progress: bool = True
    precision: str = "float32"
    compile: bool = False

    @property
    def acceleration(self) -> Acceleration:
        """What may make the network's passes faster."""
        return Acceleration(self.precision, self.compile)


@dataclass(frozen=True)
class Result:
    """A finished run, with all that a report shows."""

    facet_set: FacetSet
    rendering: Rendering
    exemplars: tuple[Tensor, ...]  # per facet (m, 3, h, w) uint8, nearest first
    thumbnails: Tensor  # (n, 3, h, w) uint8: the unit's images, in the facet set's order


def run_experiment(
    model: TargetModel,
    unit: Unit,
    source: ImageSource,
    *,
    facets: int | str,
    discovery: Discovery,
    recipe: Recipe,
    selection: Selection | None = None,
    judge: TargetModel | None = None,
    position: str | None = None,
    exemplar_count: int = 15,
    seed: int = 0,
    directory: str | Path | None = None,
    store_root: str | Path | None = None,
    machine: Machine | None = None,
    loggers: Sequence[Logger] = (),
    snapshot_every: int = 50,
    checkpoint_every: int = 50,
) -> Result:
    """Find a unit's facets among the images and render one image for each.

    Args:
        model: the network.
        unit: whose facets.
        source: the images.
        facets: how many, or "auto" (`facet_count`).
        discovery: the method that clusters the codes.
        recipe: how the images are rendered.
        selection: which images count as the unit's.
        judge: a second network that the visualizations are judged with (`mfv.evaluation`); None for none.
        position: where in a map the unit's value is read (`unit_values`).
        exemplar_count: images that a mean image is made of (the paper: 15).
        seed: fixes every random number.
        directory: of the run. A run that finds its own finished stages there goes on behind them.
        store_root: the folder of the activation stores, shared by all runs. By default one that is removed.
        machine: what to use of it.
        loggers: get curves and images.
        snapshot_every: steps between the images that are kept.
        checkpoint_every: steps between checkpoints.

    Raises:
        MfvError: something that was given does not fit; the message says what to do.

    """
    machine = machine or Machine()
    if judge is not None:
        check_independent(model, judge)
    with _directories(directory, store_root) as (run_directory, stores):
        layer = model.before_activation(unit.layer)
        view = unit_view(_field(model, layer), model.input_size, position)
        timer = _Timer()

        with timer("collect"):
            store = collect(
                model, layer, source, stores,
                position=position, interior=view.interior, batch_size=machine.batch_size, workers=machine.workers,
                accelerator=machine.accelerator, devices=machine.devices, num_nodes=machine.num_nodes,
                progress=machine.progress,
            )  # fmt: skip

        if (run_directory / "facets.json").exists():
            found = FacetSet.load(run_directory)
            logger.info("facets found before: %s", run_directory / "facets.json")
            windows = _windows(model, source, view, [source.index_of(id) for id in found.ids], store, unit.index)
        else:
            with timer("select"):
                least = facets if isinstance(facets, int) else 1
                chosen = _select(model, unit, source, store, selection or Selection(), least)
                windows = _windows(model, source, view, chosen.tolist(), store, unit.index)
            with timer("discover"):
                codes = _codes(model, view, windows, store, chosen)
                clustering = discovery(codes, _number(facets, codes, seed), seed)
                found = _facet_set(unit, source, view, windows, store, chosen, clustering, exemplar_count)
            found = found.with_(timing=timer.seconds)
            found.save(run_directory)

        starts = torch.stack([_start(found, facet, windows, recipe) for facet in found.facets])
        result_file = run_directory / "render.safetensors"
        if result_file.exists():
            rendering = Rendering.load(result_file)
            logger.info("images rendered before: %s", result_file)
        else:
            subject = UnitSubject(
                model, layer, unit.index, view.position, windows, found.assignment, found.activations, view.crops
            )
            with timer("render"):
                rendering = render(
                    model, recipe, subject, starts,
                    seed=seed, input_size=view.size, directory=run_directory,
                    accelerator=machine.accelerator, devices=machine.devices, num_nodes=machine.num_nodes,
                    loggers=loggers, snapshot_every=snapshot_every, checkpoint_every=checkpoint_every,
                    progress=machine.progress, acceleration=machine.acceleration,
                )  # fmt: skip

        with timer("evaluate"):
            means = torch.stack([_mean(found, facet, windows) for facet in found.facets])
            final = evaluate(
                found, model, layer, unit.index, view.position, means, resized(rendering.images, view.size).clamp(0, 1),
                layer if view.crops else model.code_layer,
            )  # fmt: skip
            final = final.with_(images=view.seen(rendering.images))
        if judge is not None:
            with timer("judge"):
                final = _judge(final, model, judge, source, view, windows, machine, seed).applied(final)
        earlier = {stage: seconds for stage, seconds in found.timing.items() if stage != "judge"}
        final = final.with_(timing={**earlier, **timer.seconds})
        final.save(run_directory)
        rows = {id: row for row, id in enumerate(found.ids)}
        shown = view.seen(windows)
        return Result(
            facet_set=final,
            rendering=rendering,
            exemplars=tuple(shown[[rows[id] for id in facet.exemplars]] for facet in final.facets),
            thumbnails=shown,
        )


def _field(model: TargetModel, layer: str) -> ReceptiveField | None:
    """Measure the receptive field; None for layers without a map."""
    pixels = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    with torch.inference_mode():
        is_map = model.activations(pixels, [layer])[layer].ndim == 4
    return receptive_field(model, layer) if is_map else None


def _select(
    model: TargetModel, unit: Unit, source: ImageSource, store: ActivationStore, selection: Selection, facets: int
) -> np.ndarray:
    readable = store.readable()
    names: list[str] = []
    if model.is_output(unit.layer):
        for known in (model.labels, model.synsets):
            if unit.index < len(known):
                names.append(known[unit.index])
    values = store.activations(unit.index)[readable]
    chosen = readable[selection(values, [source.labels[row] for row in readable], names, facets)]
    if len(chosen) < facets:
        raise MfvError(
            f"{len(chosen)} images are too few for {facets} facets: give more images, or ask for fewer (facets=…)"
        )
    return chosen


def _number(facets: int | str, codes: np.ndarray, seed: int) -> int:
    if isinstance(facets, int):
        return facets
    if facets != AUTO:
        raise MfvError(f"facets={facets}: give a number of at least 1, or {AUTO}")
    number = facet_count(codes, seed)
    logger.info("%d facets", number)
    return number


def _windows(
    model: TargetModel, source: ImageSource, view: View, rows: Sequence[int], store: ActivationStore, index: int
) -> Tensor:
    """Return what the network is shown of the unit's images, (n, 3, s, s) uint8."""
    preprocess = Preprocess(model.input_size, model.resize)
    windows = []
    places = store.positions(rows, index)
    for number, row in enumerate(rows):
        place = None if places is None else int(places[number])
        windows.append(to_bytes(view.window(preprocess(source.load(row)), place)))
    return torch.stack(windows)


def _codes(model: TargetModel, view: View, windows: Tensor, store: ActivationStore, rows: np.ndarray) -> np.ndarray:
    """Return the codes to be clustered, (n, d): of the whole images, or of the receptive fields enlarged."""
    if not view.crops:
        return store.codes(rows).astype(np.float32)
    codes = []
    with torch.inference_mode():
        for batch in view.seen(windows).split(32):
            whole = (0, 0, batch.shape[-1], batch.shape[-1])
            enlarged = torch.stack([crop_resized(crop.float() / 255, whole, model.input_size) for crop in batch])
            activation = model.activations(enlarged.to(model.mean.device), [model.code_layer])[model.code_layer]
            codes.append(as_codes(activation).float().cpu().numpy())
    return np.concatenate(codes)


def _facet_set(
    unit: Unit,
    source: ImageSource,
    view: View,
    windows: Tensor,
    store: ActivationStore,
    rows: np.ndarray,
    clustering: Clustering,
    exemplar_count: int,
) -> FacetSet:
    ids = tuple(source.ids[row] for row in rows)
    facets, means = [], []
    for index, members in enumerate(facet_members(clustering)):
        nearest = exemplars(members, exemplar_count)
        facets.append(Facet(index, tuple(ids[i] for i in members), tuple(ids[i] for i in nearest)))
        means.append(mean_image(view.seen(windows[nearest]).float() / 255))
    return FacetSet(
        unit=unit,
        facets=tuple(facets),
        mean_images=torch.stack(means),
        ids=ids,
        assignment=clustering.assignment.astype(np.int64),
        embedding=clustering.embedding.astype(np.float32),
        activations=store.activations(unit.index)[rows],
        discovery={
            "images": len(ids),
            "facets": len(facets),
            "receptive_field": _field_json(view),
            **clustering.details,
        },
    )


def _field_json(view: View) -> dict[str, int] | None:
    return {"size": view.field.size, "stride": view.field.stride} if view.field else None


def _mean(found: FacetSet, facet: Facet, windows: Tensor) -> Tensor:
    rows = {id: row for row, id in enumerate(found.ids)}
    return mean_image(windows[[rows[id] for id in facet.exemplars]].float() / 255)


def _start(found: FacetSet, facet: Facet, windows: Tensor, recipe: Recipe) -> Tensor:
    """Return where a facet's image starts: its mean image, as it is or at natural contrast, or its nearest image."""
    if recipe.start == "image":
        return windows[found.ids.index(facet.exemplars[0])].float() / 255
    mean = _mean(found, facet, windows)
    if recipe.start == "contrast":
        return at_natural_contrast(mean, windows[torch.from_numpy(found.assignment == facet.index)])
    return mean


def _judge(
    found: FacetSet,
    model: TargetModel,
    judge_model: TargetModel,
    source: ImageSource,
    view: View,
    windows: Tensor,
    machine: Machine,
    seed: int,
) -> Verdict:
    """Have the second network look at photographs and visualizations: whole, or the receptive fields of both."""
    judge = Judge(judge_model, _device(machine.accelerator))
    rows = [source.index_of(id) for id in found.ids]
    photographs = view.seen(windows) if view.crops else (source.load(row) for row in rows)
    class_index = class_of_unit(model, found.unit.layer, found.unit.index, judge)
    reference = Reference(judge, photographs, found.assignment, class_index)
    assert found.images is not None, "only a rendered facet set can be judged"
    return judge_facets(reference, found, found.images, seed=seed)


def _device(accelerator: str) -> torch.device:
    known = torch.accelerator.current_accelerator() if accelerator != "cpu" else None
    return known if known is not None and torch.accelerator.is_available() else torch.device("cpu")


class _Timer:
    """Seconds per stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        logger.info("%s …", stage)
        begun = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begun


@contextmanager
def _directories(directory: str | Path | None, store_root: str | Path | None) -> Iterator[tuple[Path, Path]]:
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
