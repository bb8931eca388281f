"""mfv in a notebook: one function for a unit, one for many."""

from __future__ import annotations

import inspect
import logging
import operator
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mfv import distributed
from mfv.activations.values import Position
from mfv.claims import claim
from mfv.data.memory import as_source
from mfv.discovery.selection import Selection
from mfv.discovery.tsne import TSNEKMeans
from mfv.errors import MfvError, check_count, nearest_names
from mfv.evaluation.offline import find_judge
from mfv.experiment import Discovery, Experiment, Machine, directories
from mfv.interruption import Interrupted
from mfv.jobs import UnitsJob, is_done
from mfv.models.choice import layer_names, names_several, position_name
from mfv.models.naming import OUTPUT
from mfv.models.target import TargetModel
from mfv.models.units import is_label, resolve_unit, resolve_units, unit_count
from mfv.notebook import Facets
from mfv.objectives import ClassMargin, FacetAnchor, Objective
from mfv.presets import preset
from mfv.regularizers import RandomAffine, RandomTone, Regularizer, SpectralGradient, TVProx
from mfv.rendering.octave import Recipe
from mfv.rendering.recipes import one_octave_recipe
from mfv.reports.report import write_report
from mfv.schedules import Geometric
from mfv.sole import alone_in
from mfv.structures import FacetSet, Unit
from mfv.writing import writing

Labels = Sequence[str] | Mapping[int, str]


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
    directory, store = _folder("directory", directory), _folder("store", store)
    experiment = _experiment(
        network, images, facets, labels=labels, input_size=input_size, mean=mean, std=std, position=position,
        select=select, count=count, discovery=discovery, recipe=recipe, judge=judge, seed=seed, devices=devices,
        accelerator=accelerator, progress=progress,
    )  # fmt: skip
    units = _one_unit(experiment.model, layer, unit, labels)
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
    options, directory, store = _with_defaults(options), _folder("directory", directory), _folder("store", store)
    experiment = replace(_experiment(network, images, facets, **options), level=logging.DEBUG)
    model, labels = experiment.model, options["labels"]
    names = layer_names(layer, model.default_layer)
    asked = {model.canonical(name): _units(model, name, units, labels) for name in names}
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
    facets = _whole(facets)
    check_count("facets", facets, 1, "facets", "auto")
    own = {"labels": labels, "input_size": _whole(input_size), "mean": mean, "std": std}
    model = _target(network, {name: value for name, value in own.items() if value is not None})
    return Experiment(
        model,
        as_source(images),
        facets,
        discovery=_discovery(discovery),
        recipe=_recipe(recipe),
        selection=Selection(select, _whole(count)),
        judge_model=_judge(judge, model),
        position=_place(position),
        seed=_whole(seed),
        machine=Machine(accelerator=accelerator, devices=devices, progress=progress),
    )


def _alone_in(directory: Path | None) -> AbstractContextManager[None]:
    return nullcontext() if directory is None else alone_in(directory, "directory")


def _folder(setting: str, place: Any) -> Path | None:
    """Return a folder that is given; one that is certainly not meant is refused."""
    if place is None:
        return None
    if not isinstance(place, str | os.PathLike) or not os.fspath(place):
        raise MfvError(f"{setting} is {place!r}; give a folder's path ('.' for the one that you are in)")
    return Path(place).expanduser()


def _whole(value: Any) -> Any:
    """Return a whole number of NumPy's or PyTorch's as one of Python's, and anything else as it is."""
    try:
        return value if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return value


def _one_unit(model: TargetModel, layer: str, unit: Any, labels: Labels | None) -> list[Unit]:
    """Return the unit of a layer that is asked for; where that are several, none, or them."""
    given = unit[0] if isinstance(unit, list | tuple) and len(unit) == 1 else unit
    if names_several(layer, None):
        return []
    if is_label(model, str(layer), given):  # a class may be called "all", or "0-9"
        _check_labels(model, str(layer), labels)
        return [resolve_unit(model, str(layer), given)]
    return [] if names_several(None, given) else _units(model, layer, given, labels)


def _units(model: TargetModel, layer: str, units: Any, labels: Labels | None) -> list[Unit]:
    """Return the units of a layer that are asked for; an error where the labels that were given are not as many."""
    name, units = str(layer), _whole(units)  # of a Sequential's part the name is a number
    if not isinstance(units, str | int | Iterable):
        raise MfvError(f"unit is {units!r}; give a number, a name, or several")
    _check_labels(model, name, labels)
    given = [units] if isinstance(units, str | int) else [_whole(each) for each in units]
    for each in given:
        if not isinstance(each, str | int):
            raise MfvError(f"a unit is {each!r}; of several give a list of numbers and names: units=[3, 12]")
    return resolve_units(model, name, given)


def _check_labels(model: TargetModel, layer: str, labels: Labels | None) -> None:
    """Raise `MfvError` where the labels that were given are not as many as the classes, of which a layer may be one."""
    classes = next((name for name in (layer, OUTPUT) if model.is_output(name)), None)
    if labels is None or classes is None:
        return
    count = unit_count(model, classes)
    if len(model.labels) != count:
        place = f"in layer {classes!r}" if classes else "in the output"
        raise MfvError(f"there are {len(model.labels)} labels, but {count} units {place}: give one for each")


def _recipe(given: Recipe | str | None) -> Recipe:
    if given is None:
        return fast_recipe()
    recipe = _preset("recipe", "render", given) if isinstance(given, str) else given
    if not isinstance(recipe, Recipe):
        raise MfvError(f"recipe is {given!r}; give a `Recipe`, as mfv.fast_recipe(), or a preset's name: recipe='best'")
    return recipe


def _discovery(given: Discovery | str | None) -> Discovery:
    if given is None:
        return TSNEKMeans()
    method: Discovery = _preset("discovery", "discovery", given) if isinstance(given, str) else given
    if not callable(method):
        raise MfvError(f"discovery is {given!r}; give a method of mfv.discovery, or a preset's name: 'consensus'")
    return method


def _preset(argument: str, group: str, name: str) -> Any:
    """Return a preset by its name; an error names the argument in place of the command line's setting."""
    try:
        return preset(group, name)
    except MfvError as error:
        raise MfvError(str(error).replace(f"{group}={name}", f"{argument}={name!r}", 1)) from None


def _judge(given: Any, model: TargetModel) -> TargetModel | None:
    if isinstance(given, nn.Module) and not isinstance(given, TargetModel):
        raise MfvError(
            f"judge is a {type(given).__name__}; say how it is shown pictures and what its classes are called: "
            "judge=mfv.TargetModel(network, input_size=224, labels=…), or give 'auto'"
        )
    return find_judge(given, model)


def _target(network: nn.Module, settings: Mapping[str, Any]) -> TargetModel:
    if not isinstance(network, TargetModel):
        return TargetModel(network, name=type(network).__name__.lower(), **settings).to(torch.device("cpu"))
    if settings:
        names = ", ".join(settings)
        raise MfvError(f"{names}: a TargetModel ({network.name}) brings its own; give `network.network` with yours")
    return network


def fast_recipe(
    iterations: int = 200,
    *,
    objectives: Mapping[str, Objective | Mapping[str, Any] | None] | None = None,
    regularizers: Mapping[str, Regularizer | None] | None = None,
) -> Recipe:
    """Return the default recipe, as conf/render/fast.yaml has it, with parts of one's own where they are given.

    Args:
        iterations: steps, a gradient of the network for each; what they are worth: docs/parameters.md.
        objectives: more of them, by names of one's choice: {"objective": …, "weight": …}, or the objective alone for a
            weight of 1. By the name of one that there is ("margin", "codes", "middle") it takes its place; None leaves
            that out.
        regularizers: likewise; there are "tone", "affine", "spectrum" and "tv".

    Example:
        >>> mfv.fast_recipe(300, regularizers={"greyer": Greyer(0.02), "tone": None})

    """
    return one_octave_recipe(
        iterations=iterations,
        step=Geometric(4.0, 1.0),
        start="contrast",
        momentum=0.5,
        average=0.5,
        objectives={
            "margin": {"objective": ClassMargin(), "weight": 32.0},
            "codes": {"objective": FacetAnchor("codes", cap=90, rivals=0.5), "weight": 130.0},
            "middle": {"objective": FacetAnchor("middle", cap=90, rivals=0.5), "weight": 130.0},
            **(objectives or {}),
        },
        regularizers={
            "tone": RandomTone(),
            "affine": RandomAffine(exact=False),
            "spectrum": SpectralGradient(chroma=0.5, blur=1.5),
            "tv": TVProx(0.4, sweeps=1, every=3, most=2.0),
            **(regularizers or {}),
        },
    )


def _place(position: Any) -> str | None:
    """Return where a unit's value is read, in a configuration's words; its numbers may be NumPy's or PyTorch's."""
    given = [_whole(each) for each in position] if isinstance(position, list | tuple) else _whole(position)
    return position_name(given)
