"""What mfv's classes take, read from their source: what is said of a value is what their annotated say."""

import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import get_object
from omegaconf import OmegaConf

import mfv.objectives
import mfv.regularizers
from mfv.config import register
from mfv.errors import MfvError
from mfv.limits import limits_of
from mfv.signatures import arguments_of, check_arguments, nodes

CONF = Path(__file__).resolve().parents[1] / "conf"
GROUPS = ("render", "data", "discovery", "model", "evaluation", "logger")
CHOICES = [(group, path.stem) for group in GROUPS for path in sorted((CONF / group).glob("*.yaml"))]


def composed(*overrides: str) -> dict:
    register()
    with initialize_config_module("conf", version_base="1.3"):
        return OmegaConf.to_container(compose("config", list(overrides)), resolve=True)  # type: ignore[return-value]


def parameters(made: Callable) -> dict[str, inspect.Parameter]:
    """Return what has a name of its own, as Python says."""
    parts = inspect.signature(made).parameters
    return {name: part for name, part in parts.items() if part.kind not in (part.VAR_POSITIONAL, part.VAR_KEYWORD)}


@pytest.mark.parametrize(("group", "choice"), CHOICES)
def test_every_choice_is_of_the_right_kinds(group: str, choice: str) -> None:
    settings = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{choice}.yaml"))
    check_arguments(settings)
    targets = [node["_target_"] for _, node in nodes(settings, "") if str(node.get("_target_", "")).startswith("mfv.")]
    for target in targets:  # the slow twin: what Python says of the class itself
        for name, parameter in parameters(get_object(target)).items():
            if parameter.annotation is not inspect.Parameter.empty and not name.startswith("_"):
                found = arguments_of(target)[name]
                assert found.limits == limits_of(parameter.annotation), target
                if isinstance(parameter.annotation, str) and not parameter.annotation.startswith("Literal["):
                    written = parameter.annotation.removeprefix("Annotated[")
                    assert re.match(re.escape(" | ".join(found.types)) + "(,|$)", written), target


@pytest.mark.parametrize("package", [mfv.regularizers, mfv.objectives], ids=lambda package: package.__name__)
def test_all_of_a_package_are_found(package: object) -> None:
    for name in package.__all__:  # type: ignore[attr-defined]
        made = getattr(package, name)
        if inspect.isclass(made) and not getattr(made, "_is_protocol", False) and parameters(made):
            assert arguments_of(f"{package.__name__}.{name}"), name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("render.regularizers.affine.rotation=abc", "render.regularizers.affine.rotation is 'abc'; it is a number"),
        ("render.regularizers.tv.every=1.5", "render.regularizers.tv.every is 1.5; it is a whole number"),
        ("render.regularizers.tv.weight=true", "render.regularizers.tv.weight is True; it is a number or a schedule"),
        ("render.objectives.codes.objective.cap=high", "objective.cap is 'high'; it is a number or null"),
        ("render.regularizers.affine.exact=1", "render.regularizers.affine.exact is 1; it is true or false"),
        ("render.regularizers.affine.shift=nan", "render.regularizers.affine.shift is nan; it is a number"),
        ("data.step=x", "data.step is 'x'; it is a number"),
        ("discovery.perplexity=a", "discovery.perplexity is 'a'; it is a number"),
        (
            "+render.regularizers.tv.sweep=3",
            "mfv.regularizers.TVProx takes no sweep; did you mean sweeps? it takes weight",
        ),
        ("model.num_classes=ten", "model.num_classes is 'ten'; it is a whole number or null"),
        ("render.regularizers.tv.every=0", "render.regularizers.tv.every is 0; it is a number of steps, at least 1"),
        (
            "render.objectives.codes.objective.cap=101",
            "cap is 101; it is a percentile, or null, from 0 to 100",
        ),
        ("render.regularizers.affine.smallest=2", "affine.smallest is 2 and largest 1.3: give a smallest of at most"),
        (
            "render.regularizers.tv.weight={_target_:mfv.schedules.Linear,first:1.0,last:-1.0}",
            "render.regularizers.tv.weight is 1.0 to -1.0; it is a number of grey levels, at least 0",
        ),
    ],
)
def test_another_kind_of_value_is_answered(override: str, answer: str) -> None:
    with pytest.raises(MfvError, match=re.escape(answer)):
        check_arguments(composed(override))


@pytest.mark.parametrize(
    "override",
    [
        "render.regularizers.tv.weight=1",
        "render.regularizers.tv.weight={_target_:mfv.schedules.Linear,first:1.0,last:0.1}",
        "render.objectives.codes.objective.cap=null",
        "render.regularizers.tv=null",
        "+render.regularizers.mine={_target_:my_package.Mine,strength:much}",
        "data=folder data.root=/photos",
    ],
)
def test_what_fits_is_taken(override: str) -> None:
    check_arguments(composed(*override.split(" ")))


def test_nothing_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("mfv.regularizers")]:
        monkeypatch.delitem(sys.modules, name)
    arguments_of.cache_clear()
    assert arguments_of("mfv.regularizers.TVProx")["sweeps"].types == ("int",)
    assert not any(name.startswith("mfv.regularizers") for name in sys.modules)
    assert arguments_of("mfv.regularizers.NoSuch") == arguments_of("mfv.nowhere.Some") == {}
