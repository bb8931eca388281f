"""The records that pass from stage to stage, and the run directory's `facets.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mfv.errors import MfvError
from mfv.replacing import replacing

if TYPE_CHECKING:  # it is loaded when a record with tensors is written or read
    from torch import Tensor

SCHEMA = 1  # of facets.json
RESULTS = ("facets.json", "render.*", "*/unit_*", "*/waves/*")  # what a run, or a job, leaves beside its settings
JUDGED = ("fidelity", "judge_nearest", "judge_probability", "judge_class")  # a facet's, where a run has a judge


@dataclass(frozen=True)
class Unit:
    """A neuron or a channel of a layer.

    Attributes:
        model: the model's name, for example "mobilenet_v2".
        layer: the layer's name in the network, for example "features.16".
        index: neuron, channel or feature within the layer, from 0.
        label: the class's name, for units of the output layer; else None.

    """

    model: str
    layer: str
    index: int
    label: str | None = None

    def __str__(self) -> str:
        name = f" ({self.label})" if self.label else ""
        return f"{self.model} {self.layer or 'output'} unit {self.index}{name}"


@dataclass(frozen=True)
class Clustering:
    """What a discovery method finds among n codes.

    Attributes:
        assignment: (n,) int64, each code's cluster; clusters are numbered 0 … k−1.
        distances: (n,) float, to the own cluster's centre, where the clusters were found; the nearest lead.
        embedding: (n, 2) float32, the codes' 2-D map.
        details: method, its settings and figures, by name; goes into facets.json, so it must fit into JSON.

    """

    assignment: np.ndarray
    distances: np.ndarray
    embedding: np.ndarray
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Facet:
    """One kind of image that a unit fires for.

    Numbers are None until the facet is rendered, those of a second network (the judge) also where a run has none.

    Attributes:
        index: its number, from 0.
        members: ids of its images, nearest to the centre first.
        exemplars: ids of the images whose mean is the start, nearest first.
        activation_start: the unit's value on the mean image.
        activation: the unit's value on the visualization.
        probability: the class probability (0–1) of the visualization; of class units only.
        is_argmax: whether no other unit of the layer is more active on the visualization.
        natural_percentile: the share (0–100) of the facet's images with a lower activation.
        fidelity: whether the judge finds the visualization nearest to its own facet.
        judge_nearest: the index of the facet that it is nearest to.
        judge_probability: what the judge gives the unit's class (0–1); of class units only.
        judge_class: the class that the judge gives the visualization.
        labels: its images' most frequent labels, each with the number of images.

    """

    index: int
    members: tuple[str, ...]
    exemplars: tuple[str, ...]
    activation_start: float | None = None
    activation: float | None = None
    probability: float | None = None
    is_argmax: bool | None = None
    natural_percentile: float | None = None
    fidelity: bool | None = None
    judge_nearest: int | None = None
    judge_probability: float | None = None
    judge_class: str | None = None
    labels: tuple[tuple[str, int], ...] = ()

    @property
    def size(self) -> int:
        """The number of images in the facet."""
        return len(self.members)

    @property
    def image_path(self) -> str:
        """The visualization's place within the run directory."""
        return f"facets/facet_{self.index:02d}.png"

    @property
    def mean_image_path(self) -> str:
        """The mean image's place within the run directory."""
        return f"means/mean_{self.index:02d}.png"

    def to_json(self) -> dict[str, Any]:
        """Return the facet's entry in facets.json."""
        return {
            "index": self.index,
            "size": self.size,
            "members": list(self.members),
            "exemplars": list(self.exemplars),
            "image": self.image_path,
            "mean_image": self.mean_image_path,
            "activation_start": self.activation_start,
            "activation": self.activation,
            "probability": self.probability,
            "is_argmax": self.is_argmax,
            "natural_percentile": self.natural_percentile,
            **{name: value for name in JUDGED if (value := getattr(self, name)) is not None},
            **({"labels": [list(each) for each in self.labels]} if self.labels else {}),
        }

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Facet:
        """Read an entry of facets.json."""
        numbers = ("activation_start", "activation", "probability", "is_argmax", "natural_percentile", *JUDGED)
        return cls(
            index=entry["index"],
            members=tuple(entry["members"]),
            exemplars=tuple(entry["exemplars"]),
            labels=tuple((label, count) for label, count in entry.get("labels", ())),
            **{name: entry.get(name) for name in numbers},
        )


@dataclass(frozen=True, eq=False)  # tensors have no single answer to ==
class FacetSet:
    """A unit's k facets, with their images once they are rendered, and the n images that they are made of.

    `facet_set[2]` is one facet, `len(facet_set)` their number.

    Attributes:
        unit: whose.
        facets: in the order of their numbers.
        mean_images: (k, 3, H, W) float32 in [0, 1], the starts.
        ids: of the n images, in the order of the next four.
        assignment: (n,) int64, each image's facet.
        embedding: (n, 2) float32, the 2-D map of the codes.
        activations: (n,) float32, the unit's value on each image.
        boxes: (n, 4) int64, the part of each image (top, left, height, width) that the unit sees; None for all of it.
        images: (k, 3, H, W) float32 in [0, 1], the visualizations; None until they are rendered.
        metrics: the numbers of docs/evaluation.md, by name.
        discovery: the method that found the facets, its settings and figures.
        timing: seconds per stage.

    """

    unit: Unit
    facets: tuple[Facet, ...]
    mean_images: Tensor
    ids: tuple[str, ...]
    assignment: np.ndarray
    embedding: np.ndarray
    activations: np.ndarray
    boxes: np.ndarray | None = None
    images: Tensor | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    discovery: Mapping[str, Any] = field(default_factory=dict)
    timing: Mapping[str, float] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.facets)

    def __getitem__(self, index: int) -> Facet:
        return self.facets[index]

    def to_json(self) -> dict[str, Any]:
        """Return the content of facets.json."""
        return {
            "schema": SCHEMA,
            "unit": asdict(self.unit),
            "facets": [facet.to_json() for facet in self.facets],
            "metrics": dict(self.metrics),
            "discovery": dict(self.discovery),
            "timing": {stage: round(seconds, 3) for stage, seconds in self.timing.items()},
        }

    def save(self, directory: str | Path) -> None:
        """Write facets.json and facets.safetensors; each replaces its older version in one move."""
        import torch
        from safetensors.torch import save_file

        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        tensors = {
            "mean_images": self.mean_images.contiguous(),
            "map": torch.from_numpy(np.ascontiguousarray(self.embedding, dtype=np.float32)),
            "assignment": torch.from_numpy(np.ascontiguousarray(self.assignment, dtype=np.int64)),
            "activations": torch.from_numpy(np.ascontiguousarray(self.activations, dtype=np.float32)),
        }
        if self.boxes is not None:
            tensors["boxes"] = torch.from_numpy(np.ascontiguousarray(self.boxes, dtype=np.int64))
        if self.images is not None:
            tensors["images"] = self.images.contiguous()
        metadata = {"ids": json.dumps(self.ids)}
        with replacing(directory / "facets.safetensors") as part:
            save_file(tensors, part, metadata)
        write_json(directory / "facets.json", self.to_json())

    @classmethod
    def load(cls, directory: str | Path) -> FacetSet:
        """Read what `save` wrote: the directory of a run, or of a unit in a run of several, or its facets.json.

        Raises:
            MfvError: the directory holds no facets.json, or its files are damaged or of a newer version.

        """
        directory = Path(directory).expanduser()
        directory = directory.parent if directory.name == "facets.json" else directory
        if not (directory / "facets.json").is_file():
            raise MfvError(f"{directory} holds no facets.json: give the folder of a run, as outputs/<date>/<time>")
        try:
            return cls._read(directory)
        except MfvError:
            raise
        except Exception as error:  # JSON, safetensors and the records have their own ways to refuse
            raise MfvError(
                f"the facets in {directory} cannot be read ({type(error).__name__}: {error}): facets.json or "
                "facets.safetensors is missing, damaged, or of another version of mfv; copy both, or make the run again"
            ) from error

    @classmethod
    def _read(cls, directory: Path) -> FacetSet:
        from safetensors.torch import load_file

        document = json.loads((directory / "facets.json").read_text(encoding="utf-8"))
        if document.get("schema", SCHEMA) > SCHEMA:
            raise MfvError(
                f"{directory / 'facets.json'} is of a newer version of mfv (schema {document['schema']}; this one "
                f"reads {SCHEMA}): update mfv"
            )
        tensors = load_file(directory / "facets.safetensors")
        return cls(
            unit=Unit(**document["unit"]),
            facets=tuple(Facet.from_json(entry) for entry in document["facets"]),
            mean_images=tensors["mean_images"],
            ids=tuple(_metadata(directory / "facets.safetensors")["ids"]),
            assignment=tensors["assignment"].numpy(),
            embedding=tensors["map"].numpy(),
            activations=tensors["activations"].numpy(),
            boxes=tensors["boxes"].numpy() if "boxes" in tensors else None,
            images=tensors.get("images"),
            metrics=document["metrics"],
            discovery=document["discovery"],
            timing=document["timing"],
        )

    def with_(self, **changes: Any) -> FacetSet:
        """Return a copy with some fields replaced."""
        return replace(self, **changes)


def _metadata(path: Path) -> dict[str, Any]:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return {key: json.loads(value) for key, value in (file.metadata() or {}).items()}


def holds_results(directory: Path) -> bool:
    """Say whether a run, or a job of several units, has left more in its directory than its settings."""
    return any(next(directory.glob(each), None) for each in RESULTS)


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a kill leaves either the old file or the new one."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path, shared=True) as part:
        part.write_text(text + "\n", encoding="utf-8")
