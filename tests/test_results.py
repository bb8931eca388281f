"""docs/results.md names every key and tensor that a run leaves, and no other."""

import csv
import json
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import mfv
from mfv.data import PhotoCrops
from mfv.discovery.refinement import Refinement
from mfv.structures import Facet, FacetSet

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")


def table(after: str) -> set[str]:
    """Return the names in the first column of the first table behind some words."""
    rows = re.search(r"(^\|.*\n)+", PAGE[PAGE.index(after) :], flags=re.MULTILINE)
    assert rows
    return {name for row in rows[0].splitlines()[2:] for name in re.findall("`([^`]+)`", row.split("|")[1])}


def names(path: Path) -> set[str]:
    with safe_open(path, "pt") as file:
        return set(file.keys())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("results")
    mfv.visualize(
        mfv.preset("model", "mobilenet_v2"),
        "features.9",
        3,
        images=PhotoCrops(scales=[1.0, 0.5], photos=["coffee", "cat", "rocket"]),
        facets=2,
        recipe=mfv.fast_recipe(2),
        judge="auto",
        directory=place / "run",
        store=place / "store",
        progress=False,
    )
    return place / "run"


def test_facets_json_is_described(run: Path) -> None:
    document = json.loads((run / "facets.json").read_text())
    assert set(document) == table("## facets.json")
    assert set(document["facets"][0]) <= table("A facet:")
    assert set(document["timing"]) <= set(re.findall("`([a-z]+)`", PAGE[PAGE.index("| `timing`") :].splitlines()[0]))
    assert table("whatever the method:") <= set(document["discovery"])
    known = table("whatever the method:") | table("where the method has it:")
    assert set(document["discovery"]) <= known
    evaluation = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    for name in document["metrics"]:
        assert f"`{re.sub('_(start|shuffled|noise|members|mean)$', '', name)}" in evaluation + PAGE, name


def test_a_facets_keys_are_all_that_it_may_have() -> None:
    given = {each.name: 1 for each in fields(Facet)} | {"members": ("a",), "exemplars": ("a",), "labels": (("b", 1),)}
    assert set(Facet(**given).to_json()) == table("A facet:")


def test_the_methods_figures_are_described() -> None:
    codes = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    found = {
        name: mfv.preset("discovery", name)(codes, 3, 0).details
        for name in sorted(path.stem for path in (ROOT / "conf" / "discovery").glob("*.yaml"))
    }
    refined = Refinement(merge=-1.0)(mfv.preset("discovery", "kmeans")(codes, 3, 0), codes).details
    told = set().union(*found.values(), refined) | {"spherical"}
    assert told == table("where the method has it:") | {"method"}
    listed = re.findall("`([a-z_]+)`", PAGE[PAGE.index("| `method`") :].splitlines()[0])
    assert set(listed) == {"method", *(details["method"] for details in found.values())}


def test_tensors_are_described(run: Path) -> None:
    found = names(run / "facets.safetensors")
    assert found == table("## Tensors")
    facet_set = FacetSet.load(run)
    assert len(facet_set.ids) == len(facet_set.activations)
    assert {re.sub(r"\d{6}", "", name) for name in names(run / "render.safetensors")} <= {
        re.sub(r"\d{6}", "", name) for name in re.findall("`([a-z_0-9]+)`", PAGE)
    }
    assert facet_set.images is not None
    assert facet_set.images.dtype == torch.float32


def test_files_are_described(run: Path) -> None:
    named = set(re.findall(r"`([\w./]+)`", PAGE))
    for path in run.iterdir():
        assert path.is_dir() or path.name in named, path.name
    if (run / "metrics.csv").exists():
        with (run / "metrics.csv").open() as file:
            assert next(csv.reader(file))[:2] == ["step", "activation/facet_00"]
