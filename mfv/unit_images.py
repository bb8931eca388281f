"""A unit's images: which they are, what the network is shown of them, by what they are clustered, and into what."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mfv.activations.receptive_field import ReceptiveField, receptive_field
from mfv.activations.store import ActivationStore
from mfv.activations.values import as_codes
from mfv.activations.view import View, to_bytes
from mfv.data.loading import Images
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess, crop_resized
from mfv.discovery.automatic import facet_count
from mfv.discovery.facets import exemplars, facet_members, mean_image
from mfv.discovery.naming import frequent_labels
from mfv.discovery.refinement import Refinement
from mfv.discovery.selection import Selection
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.rendering.octave import Recipe
from mfv.rendering.starts import at_natural_contrast
from mfv.structures import Clustering, Facet, FacetSet, Unit

AUTO = "auto"
Discovery = Callable[[np.ndarray, int, int], Clustering]  # codes (n, d), facets, seed
NATURAL_BINS = 48
COUNTABLE = 10  # images of a class that are enough for facets to be counted among them

logger = logging.getLogger("mfv")


def measured_field(model: TargetModel, layer: str) -> ReceptiveField | None:
    """Measure the receptive field; None for layers without a map."""
    pixels = torch.zeros(1, 3, model.input_size, model.input_size, device=model.mean.device)
    with torch.inference_mode():
        is_map = model.activations(pixels, [layer])[layer].ndim == 4
    return receptive_field(model, layer, beyond=False) if is_map else None


def selected_rows(
    model: TargetModel,
    unit: Unit,
    source: ImageSource,
    store: ActivationStore,
    selection: Selection,
    facets: int | str,
) -> np.ndarray:
    """Return the rows (n,) in the source of the images that count as the unit's.

    Raises:
        MfvError: they are fewer than the facets.

    """
    readable = store.readable()
    names: list[str] = []
    if model.is_output(unit.layer):
        if selection.by == "auto" and not (model.labels or model.synsets) and any(source.labels):
            _say_no_names(model.name)
        for known in (model.labels, model.synsets):
            if unit.index < len(known):
                names.append(known[unit.index])
    values = store.activations(unit.index)[readable]
    labels = [source.labels[row] for row in readable]
    chosen = readable[selection(values, labels, names, facets if isinstance(facets, int) else COUNTABLE)]
    _check_values(values, unit)
    if isinstance(facets, int) and len(chosen) < facets:
        raise MfvError(
            f"{len(chosen)} images are too few for {facets} facets: give more images, or ask for fewer (facets=…)"
        )
    return chosen


def _check_values(values: np.ndarray, unit: Unit) -> None:
    """Refuse a unit whose values (n,) are not all numbers, and warn of one that is the same on all images."""
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise MfvError(
            f"{unit} is NaN or infinite on {bad} of {len(values)} images: the network itself gives that; see whether "
            "its weights and pixel statistics (mean, std) are finite, or leave these images out"
        )
    if len(values) > 1 and values.min() == values.max():
        logger.warning("%s is %g on all %d images: what is painted of it means nothing", unit, values[0], len(values))


@cache
def _say_no_names(model: str) -> None:
    """Log it once, however many units there are."""
    logger.info(
        "the classes of %s have no names, so a class's images are those that it likes most, whatever their labels: "
        "give the names in the order of the output (++model.labels=[…])",
        model,
    )


def number_of_facets(facets: int | str, codes: np.ndarray, seed: int, unit_length: bool = True) -> int:
    """Return how many facets to look for: as many as are asked for, or as the codes tell."""
    if isinstance(facets, int):
        return facets
    if facets != AUTO:
        raise MfvError(f"facets={facets}: give a number of at least 1, or {AUTO}")
    number = facet_count(codes, seed, unit_length)
    logger.info("%d facets", number)
    return number


def load_windows(images: Images, view: View, rows: Sequence[int], store: ActivationStore, index: int) -> Tensor:
    """Return what the network is shown of the unit's images, (n, 3, s, s) uint8."""
    places = store.positions(rows, index)
    windows = [square.contiguous() for square in images.squares(rows)]
    if view.crops and places is not None:
        for number, square in enumerate(windows):
            windows[number] = to_bytes(view.window(square / 255, int(places[number])))
    return torch.stack(windows)


def as_seen(found: FacetSet, source: ImageSource) -> Tensor | list[Image.Image]:
    """Return a unit's photographs as its run has them judged: whole, or the part of each that the unit sees.

    Args:
        found: the facets of a run.
        source: the images of the run.

    Returns:
        The pictures, RGB, or (n, 3, s, s) uint8, in the order of `found.ids`.

    """
    rows = [source.index_of(id) for id in found.ids]
    if found.boxes is None:
        return [source.load(row) for row in rows]
    squares, boxes = Images(source, Preprocess(**found.discovery["input"])).squares(rows), found.boxes.tolist()
    pairs = zip(squares, boxes, strict=True)
    return torch.stack([crop_resized(square, (top, left, side, side), side) for square, (top, left, side, _) in pairs])


def stored_codes(model: TargetModel, store: ActivationStore, rows: np.ndarray) -> dict[str, Tensor]:
    """Return the codes (n, d) that the store holds of some images, by layer."""
    known = {model.code_layer: store.codes(rows)}
    if store.code_store.has_middle:
        known[model.anchor_layer] = store.codes(rows, "middle")
    return {layer: torch.from_numpy(codes).float() for layer, codes in known.items()}


def codes_to_cluster(
    model: TargetModel, view: View, windows: Tensor, store: ActivationStore, rows: np.ndarray
) -> np.ndarray:
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


def clusters_of(
    codes: np.ndarray, facets: int | str, discovery: Discovery, refinement: Refinement, seed: int
) -> Clustering:
    """Return the clusters of the codes (n, d): as many as are asked for, or as the codes tell."""
    number = number_of_facets(facets, codes, seed, getattr(discovery, "unit_length", True))
    return refinement(check_clustering(discovery(codes, number, seed), len(codes)), codes)


def check_clustering(found: Any, count: int) -> Clustering:
    """Return what a discovery method has found among so many images, as the arrays that a `Clustering` describes.

    Raises:
        MfvError: it has not given each image a cluster 0 … k−1, a distance and a place, or its details are not JSON.

    """
    if not isinstance(found, Clustering):
        raise MfvError(f"the discovery method returned a {type(found).__name__}; it is to return a `Clustering`")
    kinds = _array(found.assignment)
    if kinds.shape != (count,) or not np.issubdtype(kinds.dtype, np.integer):
        raise MfvError(
            f"the discovery method's assignment is {kinds.dtype} {kinds.shape}; it is to give each of the {count} "
            "images the whole number of its cluster"
        )
    distances, embedding = _array(found.distances), _array(found.embedding)
    if distances.shape != (count,) or not _finite(distances):
        raise MfvError(
            f"the discovery method's distances are {distances.shape}, or not all finite; they are to be one "
            f"number for each of the {count} images, how far it is from its cluster's centre"
        )
    if embedding.shape != (count, 2) or not _finite(embedding):
        raise MfvError(
            f"the discovery method's embedding is {embedding.shape}, or not all finite; it is to be a place "
            f"(x, y) in a map for each of the {count} images, ({count}, 2): two principal components, say"
        )
    known = np.unique(kinds).tolist()
    if known != list(range(len(known))):
        raise MfvError(
            f"the discovery method numbers its clusters {', '.join(map(str, known[:10]))}; they are to be 0 … k−1, "
            "none without an image (what belongs to none, −1 say, is to be given to the nearest)"
        )
    return Clustering(kinds.astype(np.int64, copy=False), distances, embedding, _details(found.details))


def _array(values: Any) -> np.ndarray:
    """Return a method's list, tensor or array as an array; of what is none, one without numbers."""
    try:
        return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values)
    except ValueError:  # rows of different lengths
        return np.empty(0, dtype=object)


def _finite(values: np.ndarray) -> bool:
    return bool(np.issubdtype(values.dtype, np.number) and np.isfinite(values).all())


def _details(details: Any) -> dict[str, Any]:
    """Return a method's details as they go into facets.json, NumPy's numbers as Python's."""
    if not isinstance(details, Mapping):
        raise MfvError(f"the discovery method's details are a {type(details).__name__}; they are to be a dictionary")
    try:
        return json.loads(json.dumps(dict(details), default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise MfvError(
            f"the discovery method's details do not fit into facets.json ({error}); they are to be numbers, words and "
            "lists of these, by name"
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return value.tolist()
    raise TypeError(f"it holds a {type(value).__name__}")


def natural_histogram(values: np.ndarray) -> dict[str, Any]:
    """Return how a unit's values (n,) on all images are spread: their range, and how many lie in its equal parts."""
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values, NATURAL_BINS)
    return {"images": len(values), "low": float(edges[0]), "high": float(edges[-1]), "counts": counts.tolist()}


def facet_set_of(
    unit: Unit,
    source: ImageSource,
    view: View,
    windows: Tensor,
    store: ActivationStore,
    rows: np.ndarray,
    clustering: Clustering,
    exemplar_count: int,
    words: Mapping[str, str],
    shown: Preprocess,
) -> FacetSet:
    """Return the facets that a clustering of the unit's images makes, with their mean images."""
    ids, values = tuple(source.ids[row] for row in rows), store.activations(unit.index)
    grouped = facet_members(clustering)
    labels = frequent_labels([source.labels[row] for row in rows], [members.tolist() for members in grouped], words)
    facets, means = [], []
    for index, members in enumerate(grouped):
        nearest = exemplars(members, exemplar_count)
        facets.append(
            Facet(index, tuple(ids[i] for i in members), tuple(ids[i] for i in nearest), labels=labels[index])
        )
        means.append(mean_image(view.seen(windows[nearest]).float() / 255))
    return FacetSet(
        unit=unit,
        facets=tuple(facets),
        mean_images=torch.stack(means),
        ids=ids,
        assignment=clustering.assignment.astype(np.int64),
        embedding=clustering.embedding.astype(np.float32),
        activations=values[rows],
        boxes=view.boxes(store.positions(rows, unit.index)),
        discovery={
            "images": len(ids),
            "facets": len(facets),
            "input": {"size": shown.size, "resize": shown.resize},
            "receptive_field": _field_json(view),
            "natural": natural_histogram(values[store.readable()]),
            **clustering.details,
        },
    )


def _field_json(view: View) -> dict[str, int] | None:
    if view.field is None:
        return None
    return {"size": view.field.size, "stride": view.field.stride, "window": view.size, "margin": view.margin}


def mean_of(found: FacetSet, facet: Facet, windows: Tensor) -> Tensor:
    """Return the mean (3, s, s) in [0, 1] of a facet's exemplars as the network is shown them."""
    rows = {id: row for row, id in enumerate(found.ids)}
    return mean_image(windows[[rows[id] for id in facet.exemplars]].float() / 255)


def start_of(found: FacetSet, facet: Facet, windows: Tensor, recipe: Recipe) -> Tensor:
    """Return where a facet's image starts: its mean image, as it is or at natural contrast, or its nearest image."""
    if recipe.start == "image":
        return windows[found.ids.index(facet.exemplars[0])].float() / 255
    mean = mean_of(found, facet, windows)
    if recipe.start == "contrast":
        return at_natural_contrast(mean, windows[torch.from_numpy(found.assignment == facet.index)])
    return mean
