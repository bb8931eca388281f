"""How well the visualizations do by the network's own account."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mfv.activations.values import as_codes, unit_values
from mfv.models.naming import PROB
from mfv.models.target import TargetModel
from mfv.structures import FacetSet

BATCH = 32


@torch.inference_mode()
def measure(
    model: TargetModel,
    layer: str,
    index: int,
    position: str | None,
    images: Tensor,
    with_probability: bool,
    code_layer: str | None = None,
) -> dict[str, np.ndarray]:
    """Return the unit's value, whether it leads its layer, for classes the probability, and the code of each image.

    Args:
        model: the network.
        layer: the unit's.
        index: the unit's.
        position: where in a map values are read.
        images: (n, 3, H, W) in [0, 1], at the size that the network is shown.
        with_probability: whether the unit is a class.
        code_layer: whose activations are the codes, (n, d); None for none.

    """
    device = model.mean.device
    values, leads, probabilities, codes = [], [], [], []
    asked = [layer, *([PROB] if with_probability else []), *([code_layer] if code_layer is not None else [])]
    for batch in images.split(BATCH):
        activations = model.activations(batch.to(device), list(dict.fromkeys(asked)))
        units = unit_values(activations[layer], position)[0]
        values.append(units[:, index].cpu())
        leads.append((units[:, index] >= units.amax(1)).cpu())
        if with_probability:
            probabilities.append(activations[PROB][:, index].cpu())
        if code_layer is not None:
            codes.append(as_codes(activations[code_layer]).float().cpu())
    result = {"value": torch.cat(values).numpy(), "is_argmax": torch.cat(leads).numpy()}
    if with_probability:
        result["probability"] = torch.cat(probabilities).numpy()
    if code_layer is not None:
        result["codes"] = torch.cat(codes).numpy()
    return result


def percentile(value: float, natural: np.ndarray) -> float:
    """Return the share of natural values below `value`, 0–100."""
    return float(100 * (natural < value).mean()) if len(natural) else float("nan")


def code_distances(codes: Tensor) -> dict[str, float]:
    """Return the mean and the least cosine distance (0–2) between codes (n, d) of different images."""
    directions = F.normalize(codes.float(), dim=1)
    if len(directions) < 2:
        return {}
    distances = 1 - directions @ directions.T
    pairs = distances[tuple(torch.triu_indices(len(directions), len(directions), 1))]
    return {"code_distance_mean": float(pairs.mean()), "code_distance_min": float(pairs.min())}


def evaluate(
    facet_set: FacetSet,
    model: TargetModel,
    layer: str,
    index: int,
    position: str | None,
    starts: Tensor,
    images: Tensor,
    code_layer: str,
) -> FacetSet:
    """Return the facet set with its numbers, and without those of an earlier evaluation.

    Args:
        facet_set: with its members and their natural activations.
        model: the network.
        layer: the unit's.
        index: the unit's.
        position: where in a map values are read.
        starts: (k, 3, H, W) the mean images, at the size that the network is shown.
        images: (k, 3, H, W) the visualizations, at that size.
        code_layer: whose activations tell the visualizations apart.

    """
    is_class = model.is_output(layer)
    before = measure(model, layer, index, position, starts, False)
    after = measure(model, layer, index, position, images, is_class, code_layer)
    facets, above = [], []
    for k, facet in enumerate(facet_set.facets):
        natural = facet_set.activations[facet_set.assignment == facet.index]
        value = float(after["value"][k])
        above.append(value >= float(np.median(natural)))
        facets.append(
            replace(
                facet,
                activation_start=float(before["value"][k]),
                activation=value,
                probability=float(after["probability"][k]) if is_class else None,
                is_argmax=bool(after["is_argmax"][k]),
                natural_percentile=percentile(value, natural),
                fidelity=None,
                judge_nearest=None,
                judge_probability=None,
                judge_class=None,
            )
        )
    metrics: dict[str, Any] = {
        "activation_start_mean": float(before["value"].mean()),
        "activation_mean": float(after["value"].mean()),
        "natural_median": float(np.median(facet_set.activations)),
        "above_median_share": float(np.mean(above)),
        "argmax_share": float(after["is_argmax"].mean()),
        "natural_percentile_mean": float(np.mean([facet.natural_percentile for facet in facets])),
        **({"probability_mean": float(after["probability"].mean())} if is_class else {}),
        **code_distances(torch.from_numpy(after["codes"])),
    }
    return facet_set.with_(facets=tuple(facets), metrics=metrics)
