"""mfv in a notebook: one function for a unit, one for many."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfv import arguments, distributed
from mfv.activations.values import Position
from mfv.arguments import Labels
from mfv.claims import claim
from mfv.data.memory import as_source
from mfv.discovery.selection import Selection
from mfv.errors import MfvError, check_count, nearest_names
from mfv.experiment import Discovery, Experiment, Machine, directories
from mfv.interruption import Interrupted
from mfv.jobs import UnitsJob, is_done
from mfv.models.choice import layer_names
from mfv.models.target import TargetModel
from mfv.notebook import Facets
from mfv.rendering.octave import Recipe
from mfv.reports.report import write_report
from mfv.run_lock import alone_in
from mfv.structures import FacetSet, Unit
from mfv.writing import writing


@contextmanager
def _usual_modes() -> Iterator[None]:
    """Let gradients be taken, in full precision, whatever block of PyTorch's modes the caller is in.

    New tensors are of float32 and on the CPU, as they are where nothing is set.
    """
    dtype = torch.get_default_dtype()
    with ExitStack() as modes:
        torch.set_default_dtype(torch.float32)
        modes.callback(torch.set_default_dtype, dtype)
        if torch.get_default_device().type != "cpu":
            modes.enter_context(torch.device("cpu"))
        modes.enter_context(torch.inference_mode(False))
        modes.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            modes.enter_context(torch.autocast(kind, enabled=False))
        yield


@arguments.named_as_arguments()
@_usual_modes()
def visualize(
    network: nn.Module,
    layer: str,
    unit: int | str,
    images: Any,
    facets: int | str = 10,
    *,
    labels: Labels | None = None,
    input_size: int | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    position: Position | None = None,
    select: str = "auto",
    count: int | None = None,
    discovery: Discovery | str | None = None,
    recipe: Recipe | str | None = None,
    judge: TargetModel | str | None = None,
    seed: int = 0,
    directory: str | Path | None = None,
    store: str | Path | None = None,
    devices: int | str = 1,
    accelerator: str = "auto",
    progress: bool = True,
) -> Facets:
    """Find what a unit of any network fires for, and paint one image for each kind.

    The network is not changed: mfv works on a copy.

    Args:
        network: maps normalized images (n, 3, H, W) to its output; or a `TargetModel`, which brings
            its labels, input size, pixel statistics and layer aliases along.
        layer: a name from `network.named_modules()`, "" for the output, or a name with ":in" for what it is given. Of
            a tuple, a dictionary or a dataclass counts its "logits", or else the first entry.
        unit: a neuron's or channel's index, from 0; of an output layer with labels also a label.
        images: a folder, a dataset, or a sequence of pictures: PIL images, tensors (3, H, W) in
            [0, 1] or uint8, arrays (H, W, 3), paths.
        facets: how many kinds to look for, at least 1, or "auto" (`mfv.discovery.automatic`).
        labels: the class names, in the order of the output, one for each; or a mapping of the classes' numbers to them.
        input_size: the side of the network's input, in pixels; by default 224.
        mean: per channel in [0, 1] RGB, subtracted from the pixels; by default ImageNet's.
        std: per channel, divides them; by default ImageNet's.
        position: where the unit's value is read: in a map at its "max" (the default), "mean", "center" or (y, x); of a
            transformer's tokens the "class" token (the first; the default), their "max" or "mean", or a token's number.
        select: "class", "top" or "auto" (`Selection`).
        count: how many of the most active images; by default 15 % of all, at least 150 and at most 1,300.
        discovery: the clustering method (`mfv.discovery`), or any function of codes (n, d), facets and seed that
            returns a `Clustering`; or a preset's name, "consensus"; by default the paper's t-SNE and k-means.
        recipe: how the images are rendered: a `Recipe`, or a preset's name, "best" (`mfv.preset` changes its settings);
            by default `fast_recipe()`.
        judge: a second network that the images are judged with (`mfv.evaluation`), or "auto" for one whose
            weights are on this machine; by default none.
        seed: fixes every random number.
        directory: where the run leaves its files (contact sheet, gallery …); by default nowhere.
        store: where activations are kept from run to run; by default nowhere.
        devices: how many to spread the facets over.
        accelerator: as Lightning's Trainer takes it.
        progress: whether to show bars.

    Returns:
        The facets with their images, which a notebook shows: `result.images` (k, 3, H, W) in [0, 1],
        `result[0].exemplars`, `result[0].save("facet.png")`, `result.plot_map()` …

    Raises:
        MfvError: something that was given does not fit, or the directory holds another call's results; the message says
            what to do.
        Interrupted: a KeyboardInterrupt while images were there: its `partial` holds the facets with those so far
            (after the fact: `sys.last_value.partial`). With a `directory` the same call goes on behind them.

    Example:
        >>> result = mfv.visualize(network, layer="layer4.1.conv2", unit=12, images=dataset, facets=6)

    """
    directory, store = arguments.folder("directory", directory), arguments.folder("store", store)
    experiment = _experiment(
        network, images, facets, labels=labels, input_size=input_size, mean=mean, std=std, position=position,
        select=select, count=count, discovery=discovery, recipe=recipe, judge=judge, seed=seed, devices=devices,
        accelerator=accelerator, progress=progress,
    )  # fmt: skip
    units = arguments.one_unit(experiment.model, layer, unit, labels)
    if len(units) != 1:
        raise MfvError(f"layer={layer!r} and unit={unit!r} name several units: mfv.visualize_units takes them")
    try:
        with writing({"directory": directory, "store": store}), _alone_in(directory):
            if directory is not None:
                distributed.first(partial(claim, directory, experiment, units[0]))
            result = experiment.run(units[0], directory, store)
            if directory is not None:
                curves, snapshots = result.rendering.curves, result.rendering.snapshots
                write_report(result.facet_set, result.exemplars, result.thumbnails, curves, snapshots, directory)
    except Interrupted as stop:
        raise Interrupted(Facets.of(stop.partial, str(stop)), stop.step, stop.steps) from None
    return Facets.of(result.facet_set)


@arguments.named_as_arguments()
@_usual_modes()
def visualize_units(
    network: nn.Module,
    layer: str | Sequence[str],
    units: Any,
    images: Any,
    facets: int | str = 10,
    *,
    directory: str | Path | None = None,
    store: str | Path | None = None,
    **options: Any,
) -> list[Facets]:
    """Find and paint the facets of many units: `visualize` for each, but sooner.

    One pass over the images serves all of them, and all their facets are rendered together, in full batches. Each
    unit's facets and images are those that `visualize` gives.

    Args:
        network: as `visualize` takes it.
        layer: a name, or several: then the units are taken from each of them.
        units: "all", a span "0-99" (both ends included), or a list of numbers, labels and spans.
        images: as `visualize` takes them.
        facets: how many kinds to look for in each unit.
        directory: where the job leaves its files: a folder for each unit, and index.html over them. The same call goes
            on behind a job that was broken off there. By default nowhere.
        store: where activations are kept from job to job; by default nowhere.
        **options: as `visualize` takes them.

    Returns:
        The facets of each unit, in their order, layer by layer.

    Raises:
        MfvError: something that was given does not fit, or the directory holds another call's results; or
            nothing became of some of the units: it lists them, and what became of the others is in the directory.
        Interrupted: a KeyboardInterrupt while some units were finished or had images: its `partial` is a list of these,
            in the order of the units. With a `directory` the same call goes on behind them.

    Example:
        >>> found = mfv.visualize_units(network, "layer4", [3, 12, 40], dataset, facets=4, directory="layer4")

    """
    options, directory, store = (
        _with_defaults(options),
        arguments.folder("directory", directory),
        arguments.folder("store", store),
    )
    experiment = replace(_experiment(network, images, facets, **options), level=logging.DEBUG)
    model, labels = experiment.model, options["labels"]
    names = layer_names(layer, model.default_layer)
    asked = {model.canonical(name): arguments.units(model, name, units, labels) for name in names}
    with (
        writing({"directory": directory, "store": store}),
        _alone_in(directory),
        directories(directory, store) as (run, stores),
    ):
        distributed.first(lambda: claim(run, experiment))
        job = UnitsJob(experiment, run, stores)
        try:
            return [Facets.of(found) for found in job.run(asked)]
        except KeyboardInterrupt as stop:
            raise _with_finished(stop, job, [unit for some in asked.values() for unit in some]) from None


def _with_finished(stop: KeyboardInterrupt, job: UnitsJob, units: Sequence[Unit]) -> KeyboardInterrupt:
    """Return an interrupt that has the finished units too; the same where there is nothing to have."""
    begun, words = (stop.partial, str(stop)) if isinstance(stop, Interrupted) else ([], "")
    known = {found.unit: Facets.of(found, words) for found in begun}
    known |= {unit: Facets.of(FacetSet.load(job.place(unit))) for unit in units if is_done(job.place(unit))}
    step, steps = (stop.step, stop.steps) if isinstance(stop, Interrupted) else (0, job.experiment.recipe.steps)
    return Interrupted([known[unit] for unit in units if unit in known], step, steps) if known else stop


def _with_defaults(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options of `visualize`, with its own values for those that are left out."""
    parameters = inspect.signature(visualize).parameters.values()
    known = {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}
    known = {name: default for name, default in known.items() if name not in ("directory", "store")}
    for name in options.keys() - known:
        near = nearest_names(name, known, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise MfvError(f"there is no option {name!r}; {hint}(there are {', '.join(known)})")
    return {**known, **options}


def _experiment(
    network: nn.Module,
    images: Any,
    facets: int | str,
    *,
    labels: Labels | None,
    input_size: int | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    position: Position | None,
    select: str,
    count: int | None,
    discovery: Discovery | str | None,
    recipe: Recipe | str | None,
    judge: TargetModel | str | None,
    seed: int,
    devices: int | str,
    accelerator: str,
    progress: bool,
) -> Experiment:
    """Return what `visualize` asks of its unit, with everything checked that needs no pass over the images."""
    facets = arguments.whole(facets)
    check_count("facets", facets, 1, "facets", "auto")
    own = {"labels": labels, "input_size": arguments.whole(input_size), "mean": mean, "std": std}
    model = arguments.target(network, {name: value for name, value in own.items() if value is not None})
    return Experiment(
        model,
        as_source(images),
        facets,
        discovery=arguments.discovery(discovery),
        recipe=arguments.recipe(recipe),
        selection=Selection(select, arguments.whole(count)),
        judge_model=arguments.judge(judge, model),
        position=arguments.place(position),
        seed=arguments.whole(seed),
        machine=Machine(accelerator=accelerator, devices=devices, progress=progress),
    )


def _alone_in(directory: Path | None) -> AbstractContextManager[None]:
    return nullcontext() if directory is None else alone_in(directory, "directory")
