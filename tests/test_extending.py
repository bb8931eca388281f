"""docs/extending.md: its code is run as it stands, and what it defines takes part in a run."""

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skimage
import small
from commands import Command
from PIL import Image

import mfv
from mfv.errors import MfvError
from mfv.objectives import Constraint, Objective, UnitActivation
from mfv.parameterizations import Pixels
from mfv.regularizers import Regularizer, TVProx
from mfv.rendering import Octave, Recipe, one_octave_recipe

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.+?)(?=^## |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
MANY = "Many units from a notebook"


def code(section: str, language: str = "python") -> str:
    """Return the code of a section."""
    return "\n".join(re.findall(rf"^```{language}\n(.+?)^```", SECTIONS[section], flags=re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the page defines: my_package.py, my_conf and a film."""
    folder = tmp_path_factory.mktemp("extending")
    (folder / "my_package.py").write_text("\n".join(code(name) for name in SECTIONS if name != MANY))
    for group, name, section in (("data", "frames", "Images"), ("discovery", "ward", "A discovery method")):
        assert f"`my_conf/{group}/{name}.yaml`" in SECTIONS[section]
        (folder / "my_conf" / group).mkdir(parents=True)
        (folder / "my_conf" / group / f"{name}.yaml").write_text(code(section, "yaml"))
    picture = Image.fromarray(skimage.data.chelsea())
    frames = [picture.crop((x, y, x + 96, y + 96)) for x in range(0, 340, 40) for y in range(0, 200, 60)]
    frames[0].save(folder / "film.gif", save_all=True, append_images=frames[1:])
    (folder / "photos").mkdir()
    for number, frame in enumerate(frames):
        frame.save(folder / "photos" / f"{number}.png")
    return folder


@pytest.mark.parametrize("section", SECTIONS)
def test_every_extension_has_code(section: str) -> None:
    assert code(section)


def test_all_of_it_takes_part_in_one_run(place: Path) -> None:
    given = [
        piece
        for text in re.findall(r"`([^`\n]+)`", PAGE)
        for piece in shlex.split(text)
        if piece.startswith(
            ("model=custom", "model.network._target_", "data=frames", "data.path", "discovery=ward", "+render")
        )
    ]
    settings = (
        "model.input_size=96 unit=3 facets=2 render.iterations=3 evaluation=none hydra.run.dir=run store.root=store"
    )
    assert len(given) == 8
    command = Command(["--config-dir", "my_conf", *given, *settings.split()], place, PYTHONPATH=str(place))
    output, _ = command.communicate()
    assert command.wait() == 0, output
    document = json.loads((place / "run" / "facets.json").read_text())
    assert document["unit"] == {"model": "custom", "layer": "8", "index": 3, "label": None}
    assert document["discovery"]["method"] == "ward"
    assert document["facets"][0]["members"][0].startswith("frame_")
    config = (place / "run" / "config.yaml").read_text()
    for name in ("Greyer", "Squashed", "Liveliness"):
        assert f"my_package.{name}" in config


def test_many_units_from_a_notebook(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    text = (
        code(MANY)
        .replace('"/photos"', '"photos"')
        .replace('"0-15"', '"0-1"')
        .replace("fast_recipe()", "fast_recipe(2)")
    )
    names: dict[str, object] = {}
    exec("from my_package import MyNetwork\n" + text, names)
    assert [facets.unit.index for facets in names["found"]] == [0, 1]  # type: ignore[attr-defined]
    assert (place / "units" / "index.html").exists()


def test_objects_of_ones_own_go_into_the_default_recipe(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(place))
    names: dict[str, object] = {}
    exec("import mfv\nfrom my_package import Greyer, Liveliness", names)
    made = [eval(each, names) for each in re.findall(r"`(mfv\.(?:fast_recipe|preset)\(.+?\))`", PAGE)]
    assert len(made) == 3
    regularized, _, lively = (recipe.octaves[0] for recipe in made)
    assert regularized.regularizers[-1] == names["Greyer"](0.02)  # type: ignore[operator]
    assert [type(part).__name__ for part in lively.objective.objectives][-1] == "Liveliness"
    assert lively.objective.weights == (32.0, 130.0, 130.0, 2.0)
    other = mfv.fast_recipe(7, objectives={"codes": None, "margin": UnitActivation()}, regularizers={"tone": None})
    assert other.steps == 7
    assert other.octaves[0].objective.weights == (1.0, 130.0)  # type: ignore[attr-defined]
    assert len(other.octaves[0].regularizers) == 3


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"objectives": {"u": UnitActivation}}, r"render\.objectives\.u is <class .*; give an Objective, or \{"),
        ({"objectives": {"u": {"weight": 1.0}}}, r"render\.objectives\.u is \{'weight': 1\.0\}; give an Objective"),
        ({"objectives": {"u": {"objective": UnitActivation(), "wieght": 1}}}, r"give an Objective, or"),
        ({"objectives": {"u": {"objective": 3}}}, r"render\.objectives\.u\.objective is 3, not an Objective"),
        ({"objectives": {"u": {"objective": UnitActivation(), "weight": "1"}}}, r"u\.weight is '1'; it is a number"),
        ({"objectives": [UnitActivation()]}, r"render\.objectives is \[.*; give a dictionary, by names"),
        ({"objectives": {"u": None}}, r"every weight is 0; give at least one objective a weight"),
        ({"regularizers": [TVProx()]}, r"render\.regularizers is \[.*; give a dictionary, by names"),
        ({"regularizers": {"tv": TVProx}}, r"render\.regularizers\.tv is .*; give an object .*, as TVProx\(\)"),
    ],
    ids=str,
)
def test_parts_that_are_none_are_named(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(MfvError, match=said):
        one_octave_recipe(3, 1.0, **{"objectives": {"u": UnitActivation()}, **parts})


def test_an_objective_alone_makes_a_recipe() -> None:
    octave = one_octave_recipe(3, 1.0, {"u": UnitActivation()}).octaves[0]
    assert octave.objective.weights == (1.0,)  # type: ignore[attr-defined]
    assert octave.regularizers == ()


class Mistaken(Regularizer):
    """Makes one of the mistakes that one makes."""

    def __init__(self, **methods: Callable):
        for method, function in methods.items():
            kind = type("Mistaken", (type(self),), {method: lambda self, *given, function=function: function(*given)})
            self.__class__ = kind


class Unbound(Objective):
    def forward(self, activations: Any, facets: Any, progress: float) -> Any:
        return 0


class BoundToNothing(Unbound):
    def bind(self, subject: Any) -> Any:
        return None


class Unmade(BoundToNothing):
    def __init__(self) -> None:
        self.weight = 1


class Detached(Pixels):
    def decode(self, parameters: Any) -> Any:
        return parameters.detach()


def shown(**parts: Any) -> mfv.Facets:
    recipe = {"objectives": {"u": UnitActivation()}, **parts}
    return small.visualize(recipe=one_octave_recipe(2, 1.0, **recipe))


@pytest.mark.parametrize(
    ("method", "function", "said"),
    [
        ("project", lambda pixels, moment: None, "project returns a NoneType: it is to return a tensor"),
        ("gradient", lambda pixels, moment: None, "gradient returns a NoneType"),
        ("transform", lambda pixels, moment: pixels.mul_(2), "transform changes what it is given in place"),
        ("transform", lambda pixels, moment: pixels.double(), r"transform returns torch\.float64 for torch\.float32"),
        ("transform", lambda pixels, moment: pixels.detach(), "transform lets no gradient through"),
        ("penalty", lambda pixels, moment: None, "penalty returns a NoneType for 2 images"),
        ("penalty", lambda pixels, moment: pixels, r"penalty returns \(2, 3, .* for 2 images: a value for each"),
        ("bind", lambda subject: None, r"bind returns a NoneType: it is to return its kind \(Regularizer\)"),
    ],
)
def test_what_is_wrong_with_a_regularizer_of_ones_own_is_said(method: str, function: Callable, said: str) -> None:
    with pytest.raises(MfvError, match=rf"^Mistaken\.{said}"):
        shown(regularizers={"own": Mistaken(**{method: function})})


def test_a_transform_may_not_change_what_another_one_gave() -> None:
    twice = {"one": Mistaken(transform=lambda pixels, moment: pixels * 2)}
    twice["two"] = Mistaken(transform=lambda pixels, moment: pixels.add_(1))
    with pytest.raises(MfvError, match=r"transform changes what it is given in place"):
        shown(regularizers=twice)


class Closed(UnitActivation):
    def joined(self, bound: Any, facets: int) -> None:
        return None

    def bind(self, subject: Any) -> Any:
        bound = Closed()
        bound.layers = (subject.layer,)
        return bound

    def forward(self, activations: Any, facets: Any, progress: float) -> Any:
        return activations[self.layers[0]].detach().mean((1, 2, 3))


def test_what_a_detached_objective_lacks_is_its_own_fault() -> None:
    with pytest.raises(MfvError, match=r"^the objective lets no gradient through to the activations"):
        shown(objectives={"own": Closed()})


def test_an_objective_straight_in_an_octave_is_checked_too() -> None:
    with pytest.raises(
        MfvError, match=r"BoundToNothing\.bind returns a NoneType: it is to return its kind \(Objective\)"
    ):
        small.visualize(recipe=Recipe((Octave(2, objective=BoundToNothing()),)))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"objectives": lambda: {"own": Unbound()}}, r"Unbound does not say how it is bound .* bind\(self, subject\)"),
        ({"objectives": lambda: {"own": BoundToNothing()}}, r"BoundToNothing\.bind returns a NoneType"),
        ({"objectives": lambda: {"own": Constraint(Unbound(), 1.0)}}, r"Unbound does not say how it is bound"),
        ({"objectives": lambda: {"own": Unmade()}}, r"Unmade\.__init__ is to call super\(\)\.__init__\(\) first"),
        ({"parameterization": Detached}, r"Detached\.decode lets no gradient through"),
    ],
)
def test_what_is_wrong_with_an_objective_or_a_parameterization_is_said(parts: dict[str, Any], said: str) -> None:
    with pytest.raises(MfvError, match=said):
        shown(**{name: make() for name, make in parts.items()})
