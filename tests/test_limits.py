"""What arguments may be: read from annotations, said in words, compared when something is made."""

import copy
import math
import pickle
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import pytest
from annotated_types import Ge, Gt, Interval, Le, Lt, MultipleOf

import mfv.objectives
import mfv.parameterizations
import mfv.regularizers
from mfv.errors import MfvError
from mfv.limits import Checked, Limits, NotAbove, check_limits, limits_of
from mfv.objectives import FacetAnchor, UnitActivation, UnitOf
from mfv.parameterizations import FixedMagnitude, Fourier
from mfv.regularizers import (
    AlphaNorm,
    CenterMask,
    GaussianBlur,
    Jitter,
    RandomCrop,
    RandomScale,
    Regularizer,
    TVBregman,
    TVProx,
)
from mfv.schedules import Linear


@dataclass(frozen=True)
class Mine(Regularizer):
    """As a user writes one, whose module does not put annotations off."""

    strength: Annotated[float, Interval(ge=0, lt=2), "a strength"] = 1.0
    kind: Literal["soft", "hard"] = "soft"


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (Annotated[int, Ge(1), "a number of steps"], "a number of steps, at least 1"),
        (Annotated[float, Gt(0)], "a number, above 0"),
        (Annotated[float, Interval(ge=0, le=1), "a share"], "a share, from 0 to 1"),
        (Annotated[float, Interval(ge=0, lt=0.5), "a share"], "a share, at least 0 and below 0.5"),
        (Annotated[float, Gt(0), Le(1), "a share"], "a share, above 0 and at most 1"),
        (Annotated[float | None, Lt(3)], "a number, below 3"),
        (Literal["roll", "crop"], "one of roll, crop"),
    ],
)
def test_limits_in_words(annotation: object, words: str) -> None:
    assert str(limits_of(annotation)) == words


@pytest.mark.parametrize(
    "written",
    [
        'Annotated[float, Interval(gt=0, le=1), NotAbove("largest"), "a share"]',
        "Annotated[int, Ge(1)]",
        "Annotated[int, MultipleOf(2), Le(8)]",
        'Literal["roll", "crop"]',
        'Annotated[Sequence[float] | None, Gt(0), "factors"]',
        "float | None",
        'Annotated[float, "a word alone says nothing"]',
    ],
)
def test_what_is_written_says_what_python_has(written: str) -> None:
    names = {kind.__name__: kind for kind in (Annotated, Literal, Sequence, Ge, Gt, Le, Interval, MultipleOf, NotAbove)
             if hasattr(kind, "__name__")}  # fmt: skip
    names |= {"Annotated": Annotated, "Literal": Literal}
    assert limits_of(written) == limits_of(eval(written, names))


def test_ends_belong_to_the_limits_or_not() -> None:
    closed, opened = Limits(0, 1), Limits(0, 1, above=True, below=True)
    assert [number in closed for number in (-0.1, 0, 0.5, 1, 1.1, math.nan)] == [False, True, True, True, False, False]
    assert [number in opened for number in (0, 0.5, 1, math.nan)] == [False, True, False, False]
    assert math.inf not in Limits(0, 1)
    assert math.inf in Limits(0)


@pytest.mark.parametrize(
    ("make", "answer"),
    [
        (lambda: TVProx(every=0), "TVProx: every is 0; it is a number of steps, at least 1"),
        (lambda: TVProx(-1), "TVProx: weight is -1; it is a number of grey levels, at least 0"),
        (lambda: TVProx(Linear(1, -1)), "TVProx: weight is Linear(first=1, last=-1); it is a number of grey levels"),
        (lambda: TVProx(sweeps=math.nan), "TVProx: sweeps is nan"),
        (lambda: GaussianBlur(every=0), "GaussianBlur: every is 0; it is a number of steps, at least 1"),
        (lambda: AlphaNorm(alpha=500), "AlphaNorm: alpha is 500; it is an exponent, from 1 to 32"),
        (lambda: AlphaNorm(target=0), "AlphaNorm: target is 0; it is a number of grey levels, above 0"),
        (lambda: AlphaNorm(bound=math.nan), "AlphaNorm: bound is nan"),
        (lambda: CenterMask(0.5), "CenterMask: margin is 0.5; it is a share of the side, at least 0 and below 0.5"),
        (lambda: TVBregman(weight=0), "TVBregman: weight is 0; it is a number, above 0"),
        (lambda: Jitter(mode="rol"), "Jitter: mode is 'rol'; it is one of roll, crop"),
        (
            lambda: RandomCrop(0.8, 0.5),
            "RandomCrop: smallest is 0.8 and largest 0.5: give a smallest of at most",
        ),
        (lambda: RandomCrop(smallest=0.99), "RandomCrop: smallest is 0.99 and largest 0.95"),
        (lambda: RandomScale([1, 0.0]), "RandomScale: factors is [1, 0.0]; it is one or more factors, above 0"),
        (lambda: FacetAnchor(cap=101), "FacetAnchor: cap is 101; it is a percentile, or null, from 0 to 100"),
        (lambda: UnitActivation(49.9), "UnitActivation: cap is 49.9; it is a percentile, or null, from 50 to 100"),
        (lambda: UnitOf("", -1), "UnitOf: index is -1"),
        (lambda: Fourier(color="blue"), "Fourier: color is 'blue'; it is one of imagenet, images, none"),
        (lambda: FixedMagnitude(spectrum="own"), "FixedMagnitude: spectrum is 'own'; it is one of images, photographs"),
        (lambda: Mine(2), "Mine: strength is 2; it is a strength, at least 0 and below 2"),
        (lambda: Mine(kind="firm"), "Mine: kind is 'firm'; it is one of soft, hard"),
        (lambda: replace(Mine(), strength=-1.0), "Mine: strength is -1.0"),
    ],
)
def test_a_class_compares_what_it_is_made_of(make, answer: str) -> None:
    with pytest.raises(MfvError, match=re.escape(answer)):
        make()


def test_what_fits_is_made_and_copied() -> None:
    for made in (Mine(0), TVProx(Linear(1, 0)), RandomScale([0.9, 1.1]), RandomCrop(0.5, 0.5), FacetAnchor(cap=None)):
        assert type(pickle.loads(pickle.dumps(made))) is type(copy.deepcopy(made)) is type(made)
    assert copy.deepcopy(Mine(0.5)) == Mine(0.5)


def test_wrong_names_and_numbers_of_arguments_are_pythons_to_say() -> None:
    with pytest.raises(TypeError, match="sweep"):
        TVProx(sweep=2)
    with pytest.raises(TypeError, match="positional"):
        TVProx(1, 2, 3, 4, 5, None, 7)
    with pytest.raises(TypeError, match="index"):
        UnitOf("")


def test_what_is_no_number_is_left_to_others() -> None:
    limits = {"weight": Limits(0)}
    for value in (None, "much", True, object(), {"_target_": "my.Schedule"}):
        check_limits("", {"weight": value}, limits)
    check_limits("", {}, limits)


@pytest.mark.parametrize("package", [mfv.regularizers, mfv.objectives, mfv.parameterizations])
def test_all_numbers_that_end_somewhere_say_so(package) -> None:
    """Of mfv's own numbers each has limits, but for those that may be anything."""
    free = {
        "SpectralGradient: chroma", "Constraint: at_least", "FacetProbe: weight",
    }  # fmt: skip
    for name in package.__all__:
        made = getattr(package, name)
        if not (isinstance(made, type) and issubclass(made, Checked)):
            continue
        for argument, written in getattr(made.__init__, "__annotations__", {}).items():
            number = re.match(r"(Annotated\[)?(float|int)\b", str(getattr(written, "__name__", written)))
            if number and argument != "return" and f"{name}: {argument}" not in free:
                assert limits_of(written), f"{name}: {argument}"
