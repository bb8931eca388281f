"""One call in a notebook: what it is given wrong is answered with the remedy, and presets go by their names."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small import IMAGES, network, visualize
from torch import nn

import mfv
from mfv.arguments import as_arguments
from mfv.claims import MODEL
from mfv.discovery import KMeans
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.rendering.octave import Recipe

PRESETS = sorted(path.stem for path in (Path(__file__).resolve().parents[1] / "conf" / "render").glob("*.yaml"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"network": "resnet18"}, r"the network is 'resnet18'; give an nn\.Module"),
        ({"layer": 8}, r"sequential has no layer '8'"),
        ({"unit": [1, 2]}, r"layer='2' and unit=\[1, 2\] name several units: mfv\.visualize_units takes them"),
        ({"layer": "9"}, r"sequential has no layer '9' \(there are 0, 1, 2, 3, 4, 5\)"),
        ({"unit": 6}, r"unit=6: layer '2' of sequential has 6 units, 0–5"),
        ({"unit": np.array([1, 2])}, r"unit=array\(\[1, 2\]\) name several units"),
        ({"unit": None}, r"unit is None; give a number, a name, or several"),
        ({"images": "nowhere"}, r"images=nowhere does not exist; give the folder of your images: images="),
        ({"images": []}, r"images is an empty list"),
        ({"facets": "many"}, r"facets is 'many'; it is a number of facets, at least 1, or auto"),
        ({"labels": ["a", "b"], "layer": "5"}, r"there are 2 labels, but 3 units in layer '5': give one for each"),
        ({"labels": ["a", "b"]}, r"there are 2 labels, but 3 units in the output: give one for each"),
        ({"input_size": 0}, r"input_size is 0; it is a number of pixels"),
        ({"input_size": 6}, r"cannot be run on an image of 3 × 6 × 6 \(input_size=6\)"),
        ({"recipe": "bets"}, r"^recipe='bets': there is no such choice; did you mean best"),
        (
            {"recipe": 200},
            r"recipe is 200; give a `Recipe`, as mfv\.fast_recipe\(\), or a preset's name: recipe='best'",
        ),
        ({"discovery": "kmean"}, r"^discovery='kmean': there is no such choice; did you mean kmeans"),
        ({"discovery": KMeans}, r"discovery is <class .*KMeans'>; give an object of it, as KMeans\(\)"),
        ({"discovery": 3}, r"discovery is 3; give a method of mfv\.discovery, or a preset's name"),
        ({"select": "best"}, r"select is 'best'; it is one of auto, class, top"),
        ({"position": (1, 2, 3)}, r"position is \[1, 2, 3\]; of a channel it is max"),
        ({"position": 1.5}, r"position is 1\.5; of a channel it is max"),
        ({"count": 10.0}, r"count is 10\.0; it is a number of images, at least 1, or None"),
        ({"facets": "2"}, r"facets is '2'; it is a number of facets"),
        ({"std": (0, 0, 0)}, r"std of model sequential is \[0, 0, 0\]; pixels are divided by it"),
        ({"mean": 0.5}, r"mean of model sequential is 0\.5; it has one number per channel"),
        ({"position": (99, 0)}, r"position=99,0 is outside the map"),
        ({"judge": "nobody"}, r"judge is 'nobody'"),
        ({"devices": 0}, r"devices is 0; it is a number of processes"),
        ({"judge": nn.Linear(3, 2)}, r"judge is a Linear; say how it is shown .*judge=mfv\.TargetModel\(network, "),
        ({"seed": True}, r"seed is True; give a whole number"),
        ({"directory": ""}, r"directory is ''; give a folder's path"),
        ({"store": 3}, r"store is 3; give a folder's path"),
        ({"position": "class"}, r"position='class': an activation .* has max, mean, center or an index"),
        ({"seed": "one"}, r"seed is 'one'; give a whole number"),
        ({"directory": __file__}, r"test_api\.py cannot be written \(File exists\): give another folder, directory="),
    ],
    ids=lambda given: "-".join(map(str, given)) if isinstance(given, dict) else "",
)
def test_what_is_wrong_is_said_with_the_remedy(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(MfvError, match=said):
        visualize(**wrong)


@pytest.mark.parametrize(("unit", "index"), [("all", 1), ("0-1", 2), ([0], 0)], ids=str)
def test_one_unit_may_be_called_what_it_is(unit: Any, index: int) -> None:
    assert visualize(layer="5", unit=unit, labels={0: "a", 1: "all", 2: "0-1"}).unit.index == index


def test_recipes_and_methods_go_by_their_presets_names() -> None:
    named = visualize(recipe=mfv.preset("render", "fast", "iterations=2"), discovery="kmeans", seed=3)
    given = visualize(discovery=KMeans(), seed=3)
    assert named.to_json()["facets"] == given.to_json()["facets"]
    assert named.images is not None
    assert given.images is not None
    assert torch.equal(named.images, given.images)


def test_numbers_may_be_those_of_other_libraries() -> None:
    labels = np.array(["a", "b", "c"])
    theirs = visualize(
        unit=torch.tensor(1), facets=np.int64(2), seed=np.int64(3), input_size=np.int64(32), labels=labels
    )
    ours = visualize(seed=3)
    assert theirs.to_json()["facets"] == ours.to_json()["facets"]


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_is_copied_in_float32(precision: torch.dtype) -> None:
    given = network().to(precision)
    images = visualize(network=given).images
    assert images is not None
    assert torch.equal(images, visualize(network=network().to(precision).float()).images)
    assert {part.dtype for part in given.parameters()} == {precision}


@pytest.mark.parametrize("name", PRESETS)
def test_every_recipe_is_a_preset(name: str) -> None:
    recipe = mfv.preset("render", name)
    assert isinstance(recipe, Recipe)
    assert recipe.steps > 0


def test_a_presets_settings_are_those_of_the_command_line() -> None:
    best = mfv.preset("render", "best", "iterations=7", "regularizers.tv.weight=0.1")
    assert best.steps == 7
    assert [part.weight for part in best.octaves[0].regularizers if type(part).__name__ == "TVProx"] == [0.1]
    assert mfv.preset("data", "photos", "photos=[cat]").ids[0].startswith("cat/")
    added = mfv.preset("render", "fast", "+regularizers.soft._target_=mfv.regularizers.GaussianBlur")
    assert type(added.octaves[0].regularizers[-1]).__name__ == "GaussianBlur"
    model = mfv.preset("model", "squeezenet1_1", "weights=none")
    assert isinstance(model, TargetModel)
    assert model.name == "squeezenet1_1"
    for arguments, said in (
        (("rendr", "best"), "there is no group 'rendr'; did you mean render"),
        (("render", "best", "iteration=3"), "did you mean render.iterations"),
        (("render", "best", "iterations=x"), "render.iterations is 'x'; it is a number of steps"),
        (("discovery", "consensus", "maps=1"), "discovery.maps is 1; a consensus takes at least 2"),
        (("data", "folder"), "data.root is missing"),
        (("render", "fast", {"iterations": 3}), r"\{'iterations': 3\}: settings are strings, as mfv\.preset\('render'"),
    ):
        with pytest.raises(MfvError, match=said):
            mfv.preset(*arguments)
    with pytest.raises(MfvError, match=r"^iterations=…: settings are strings, as mfv\.preset\('render', 'fast', "):
        mfv.preset("render", "fast", iterations=3)


def test_many_units_have_what_each_has_alone(tmp_path: Path) -> None:
    given = {"facets": 2, "input_size": 32, "recipe": mfv.fast_recipe(2), "progress": False}
    units = torch.tensor([4, 1])
    found = mfv.visualize_units(network(), "2", units, IMAGES, **given, directory=tmp_path)
    assert [each.unit.index for each in found] == [4, 1]
    assert isinstance(found[0], mfv.Facets)
    alone = visualize(unit=4)
    assert found[0].to_json()["facets"] == alone.to_json()["facets"]
    assert found[0].images is not None
    assert alone.images is not None
    assert torch.equal(found[0].images, alone.images)
    assert (tmp_path / "index.html").exists()
    again = mfv.visualize_units(network(), "2", "1-4", IMAGES, **given)  # and leaves nothing
    assert [each.unit.index for each in again] == [1, 2, 3, 4]
    assert again[3].images is not None
    assert torch.equal(again[3].images, alone.images)


def test_units_of_several_layers_come_layer_by_layer() -> None:
    found = mfv.visualize_units(
        network(), ["2", "5"], [0, 2], IMAGES, facets=1, input_size=32, recipe=mfv.fast_recipe(1), progress=False
    )
    assert [(each.unit.layer, each.unit.index) for each in found] == [("2", 0), ("2", 2), ("5", 0), ("5", 2)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"units": [1, 7]}, "unit=7: layer '2' of sequential has 6 units"),
        ({"units": []}, "unit=.*: name at least one unit"),
        ({"units": [[1, 2]]}, r"a unit is \[1, 2\]; of several give a list of numbers and names: units="),
        ({"layer": ["2", "9"]}, "sequential has no layer '9'"),
        ({"recipe": "bets"}, "did you mean best"),
        ({"recipes": "best"}, "there is no option 'recipes'; did you mean recipe"),
    ],
    ids=str,
)
def test_what_is_wrong_with_many_units_is_said(changes: dict[str, Any], said: str) -> None:
    given = {"network": network(), "layer": "2", "units": [1], "images": IMAGES, "input_size": 32}
    with pytest.raises(MfvError, match=said):
        mfv.visualize_units(**{**given, **changes})


def test_a_directory_is_not_taken_for_another_calls(tmp_path: Path) -> None:
    first = visualize(directory=tmp_path, facets=2)
    again = visualize(directory=tmp_path, facets=2)
    assert first.images is not None
    assert again.images is not None
    assert torch.equal(first.images, again.images)
    others = {"unit": {"unit": 2}, "facets": {"facets": 3}, "seed": {"seed": 5}, "images": {"images": IMAGES[1:]}}
    others |= {"recipe": {"recipe": mfv.fast_recipe(3)}, "discovery": {"discovery": KMeans()}}
    others |= {"labels": {"labels": ["a", "b", "c"]}, "input_size, resize": {"input_size": 36}}
    for differing, changes in others.items():
        with pytest.raises(MfvError, match=rf"another call \(it differs in {differing}\): choose another directory"):
            visualize(directory=tmp_path, **changes)
    other = network()
    torch.nn.init.zeros_(other[0].bias)
    with pytest.raises(MfvError, match=r"it differs in network"):
        visualize(directory=tmp_path, network=other)
    sized = TargetModel(network(), name="sequential", input_size=32, code_layer="2")
    with pytest.raises(MfvError, match=r"it differs in code_layer\)"):
        visualize(directory=tmp_path, network=sized, input_size=None)
    (tmp_path / "experiment.json").unlink()
    with pytest.raises(MfvError, match=r"holds results of a run that was begun otherwise"):
        visualize(directory=tmp_path)


def test_what_an_older_version_did_not_write_down_is_taken_as_it_is(tmp_path: Path) -> None:
    visualize(directory=tmp_path)
    path = tmp_path / "experiment.json"
    known = json.loads(path.read_text())
    path.write_text(json.dumps({name: value for name, value in known.items() if name not in MODEL}))
    assert len(visualize(directory=tmp_path)) == 2


def test_stored_activations_are_not_those_of_an_edited_network(tmp_path: Path) -> None:
    class Scaled(nn.Sequential):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return super().forward(pixels * self.k)

    def activations(k: float, **options: Any) -> np.ndarray:
        scaled = Scaled(*network())
        scaled.k = k
        return visualize(network=scaled, **options).activations

    activations(1.0, store=tmp_path)
    assert np.array_equal(activations(-3.0, store=tmp_path), activations(-3.0))


def test_a_call_that_left_no_results_may_be_corrected(tmp_path: Path) -> None:
    with pytest.raises(MfvError, match=r"20 images are too few for 100 facets"):
        visualize(directory=tmp_path, facets=100)
    assert len(visualize(directory=tmp_path, facets=2)) == 2


def test_a_jobs_directory_takes_more_units_but_nothing_else(tmp_path: Path) -> None:
    given = {"input_size": 32, "recipe": mfv.fast_recipe(2), "progress": False, "directory": tmp_path}
    mfv.visualize_units(network(), "2", [4], IMAGES, 2, **given)
    found = mfv.visualize_units(network(), "2", [4, 1], IMAGES, 2, **given)
    assert [len(each) for each in found] == [2, 2]
    with pytest.raises(MfvError, match=r"it differs in facets"):
        mfv.visualize_units(network(), "2", [4, 1], IMAGES, 3, **given)


def test_the_users_random_numbers_are_left_alone() -> None:
    given = network()
    before = torch.get_rng_state()
    mfv.visualize(given, "2", 1, IMAGES, 2, input_size=32, recipe=mfv.fast_recipe(2), progress=False)
    assert torch.equal(torch.get_rng_state(), before)


class Found:
    """Whatever it was told to."""

    def __init__(self, found: Any):
        self.found = found

    def __call__(self, codes: np.ndarray, facets: int, seed: int) -> Any:
        return self.found


def clustering(assignment: Any, **changes: Any) -> mfv.structures.Clustering:
    count = len(IMAGES)
    given = {"assignment": assignment, "distances": np.zeros(count), "embedding": np.zeros((count, 2), np.float32)}
    return mfv.structures.Clustering(**{**given, **changes})


HALVES = np.arange(20) % 2


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (np.arange(20) % 2, r"the discovery method returned a ndarray; it is to return a `Clustering`"),
        (clustering(np.arange(19) % 2), r"assignment is int64 \(19,\); it is to give each of the 20 images"),
        (clustering(np.arange(20) / 20), r"assignment is float64 \(20,\)"),
        (clustering(np.arange(20) % 3 - 1), r"numbers its clusters -1, 0, 1; they are to be 0 … k−1"),
        (clustering(np.arange(20) % 2 * 2), r"numbers its clusters 0, 2; they are to be 0 … k−1"),
        (clustering(HALVES, distances=None), r"distances are \(\), or not all finite"),
        (clustering(HALVES, embedding=None), r"embedding is \(\), or not all finite; .*, \(20, 2\)"),
        (clustering(HALVES, embedding=np.zeros((20, 3))), r"embedding is \(20, 3\), or not all finite"),
        (clustering(HALVES, embedding=np.full((20, 2), np.nan)), r"embedding is \(20, 2\), or not all finite"),
        (clustering(HALVES, embedding=[[0], [0, 1]] * 10), r"embedding is \(0,\), or not all finite"),
        (clustering(HALVES, details={"a": np.nan}), r"details do not fit into facets\.json .*they are to be numbers"),
        (clustering(HALVES, details={"a": KMeans()}), r"details do not fit into facets\.json \(it holds a KMeans\)"),
        (clustering(HALVES, details=None), r"details are a NoneType; they are to be a dictionary"),
    ],
)
def test_what_a_discovery_method_gives_is_checked(found: Any, said: str) -> None:
    with pytest.raises(MfvError, match=said):
        visualize(discovery=Found(found))


def test_a_discovery_method_may_give_lists_and_tensors() -> None:
    details = {"method": "halves", "shares": np.array([0.5, 0.5]), "best": np.float32(2), "tried": torch.tensor(3)}
    lists = {"distances": [0.0] * 20, "embedding": [[0, 1]] * 20, "details": details}
    found = visualize(discovery=Found(clustering(torch.from_numpy(HALVES), **lists)))
    assert [facet.size for facet in found] == [10, 10]
    assert {"shares": [0.5, 0.5], "best": 2.0, "tried": 3}.items() <= dict(found.discovery).items()


def test_a_unit_that_is_no_number_is_refused_before_it_is_rendered() -> None:
    broken = network()
    torch.nn.init.constant_(broken[2].bias, torch.nan)
    with pytest.raises(MfvError, match=r"unit 1 is NaN or infinite on 20 of 20 images: the network itself"):
        visualize(network=broken)


def test_a_dead_unit_is_named(caplog: pytest.LogCaptureFixture) -> None:
    dead = network()
    torch.nn.init.zeros_(dead[2].weight)
    with caplog.at_level("WARNING", "mfv"), pytest.raises(MfvError):  # its codes are all alike too
        visualize(network=dead)
    assert "on all 20 images: what is painted of it means nothing" in caplog.text


def test_a_single_logit_has_no_probability() -> None:
    one = nn.Sequential(*list(network())[:-1], nn.Linear(6, 1))
    found = visualize(network=one, layer="5", unit=0)
    assert [facet.probability for facet in found] == [None, None]


def test_pytorchs_modes_around_a_call_change_nothing() -> None:
    expected = visualize().images
    assert expected is not None
    for mode in (torch.inference_mode(), torch.no_grad(), torch.autocast("cpu", torch.bfloat16)):
        with mode:
            found = visualize().images
        assert found is not None
        assert torch.equal(found, expected)


def test_pytorchs_defaults_are_left_as_they_are() -> None:
    given, expected = network(), visualize().images
    assert expected is not None
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = visualize(network=given).images
            assert torch.empty(0).device.type == "meta"
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert found is not None
    assert torch.equal(found, expected)


@dataclass
class Scores:
    """What a network may give in place of a tensor."""

    hidden: torch.Tensor
    logits: torch.Tensor


class Gives(nn.Module):
    """A small network that gives something else than a tensor."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        first, *rest = network()
        self.inner = nn.Sequential(first, nn.BatchNorm2d(8), *rest)

    def forward(self, pixels: torch.Tensor) -> Any:
        scores = self.inner(pixels)
        return Scores(pixels, scores) if self.kind == "dataclass" else None


def test_networks_may_give_dataclasses_or_nothing_where_no_output_is_asked_for() -> None:
    assert visualize(network=Gives("dataclass"), layer="", unit=2).unit.index == 2
    for kind in ("dataclass", "nothing"):
        assert visualize(network=Gives(kind), layer="inner.3").images is not None
    with pytest.raises(MfvError, match="layer '' gives a NoneType, not a tensor; choose another"):
        visualize(network=Gives("nothing"), layer="")


def test_a_network_of_one_size_is_shown_whole_images(caplog: pytest.LogCaptureFixture) -> None:
    class OneSize(nn.Sequential):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            assert pixels.shape[-1] == 32, f"an image of {pixels.shape[-1]}\nthat is not mine"
            return super().forward(pixels)

    with caplog.at_level("INFO", "mfv"):
        found = visualize(network=OneSize(*network()))
    assert found.images is not None
    assert found.images.shape == (2, 3, 32, 32)
    assert "takes no image of 9 pixels a side, so it is shown whole ones, not what a unit sees (an image" in caplog.text


def test_a_network_without_gradients_is_named() -> None:
    class Closed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        @torch.no_grad()
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.inner(pixels)

    with pytest.raises(MfvError, match=r"closed lets no gradient through from layer .*inner\.2.* to its input"):
        visualize(network=Closed(), layer="inner.2")


def test_a_unit_that_no_gradient_reaches_is_named_though_others_of_the_recipe_have_one() -> None:
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.inner(pixels).detach()

    with pytest.raises(MfvError, match=r"detached lets no gradient through from layer output to its input"):
        visualize(network=Detached(), layer="")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"select": "best"}, r"^select is 'best'; it is one of "),
        ({"select": "class"}, r"give other images, or select='top'$"),
        ({"count": 0}, r"^count is 0; "),
        ({"devices": 0}, r"^devices is 0; "),
        ({"accelerator": "gpus"}, r"^accelerator=gpus with devices=1: "),
        ({"layer": "5", "unit": "cat"}, r"give a number, or the names \(labels=\[…\]\)$"),
        ({"images": "no/such/folder"}, r"images"),
        ({"judge": "resnet"}, r"^judge is 'resnet'.*judge=mfv\.TargetModel\(…\)"),
    ],
)
def test_errors_name_the_arguments(changes: dict[str, object], said: str) -> None:
    with pytest.raises(MfvError, match=said) as caught:
        visualize(**changes)
    assert not re.search(r"(data|select|machine|model|evaluation|hydra|store)\.[a-z]", str(caught.value))


def test_names_of_files_stay_as_they_are() -> None:
    assert as_arguments("run/render.ckpt: try a smaller step (render.step)") == (
        "run/render.ckpt: try a smaller step (the recipe's step)"
    )


def test_folders_may_be_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    visualize(directory="~/run", store="~/store")
    assert (tmp_path / "run" / "facets.json").exists()
    assert list((tmp_path / "store").iterdir())
    found = mfv.Facets.load("~/run")
    found[0].save("~/facet.png")
    assert (tmp_path / "facet.png").exists()
    assert [facet.index for facet in found[0:2]] == [0, 1]


def test_what_changes_activations_from_outside_is_named(caplog: pytest.LogCaptureFixture) -> None:
    hooked = network()
    hooked[2].register_forward_hook(lambda module, given, output: output * 0)
    with caplog.at_level("WARNING", "mfv"):
        TargetModel(hooked, input_size=32)
    assert "1 forward hooks of the network (Sequential) are left out" in caplog.text


@pytest.mark.filterwarnings("ignore:.*spectral_norm:FutureWarning")
def test_hooks_that_make_weights_stay() -> None:
    normed, pixels = network(), torch.rand(2, 3, 32, 32)
    torch.nn.utils.spectral_norm(normed[2])
    state = {name: values * 3 for name, values in normed.state_dict().items()}
    normed.load_state_dict(state)
    normed.eval()
    model = TargetModel(normed, input_size=32)
    with torch.no_grad():
        assert torch.allclose(model.network(pixels), normed(pixels), atol=1e-6)
