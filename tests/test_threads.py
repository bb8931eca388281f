"""Work that threads share: every item once, in order, and an error ends it."""

import threading

import pytest

from mfv import threads
from mfv.threads import in_threads


@pytest.fixture(autouse=True, params=[1, 2, 5])
def processors(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(threads, "processors", lambda: request.param)
    return int(request.param)


def test_what_is_made_is_in_the_order_of_the_items() -> None:
    begun: list[int] = []

    def square(number: int) -> int:
        begun.append(number)
        return number**2

    assert in_threads(square, iter(range(100))) == [number**2 for number in range(100)]
    assert sorted(begun) == list(range(100))
    assert in_threads(square, []) == []
    assert in_threads(square, [7]) == [49]


def test_as_many_threads_as_processors_work_at_once(processors: int) -> None:
    together = threading.Barrier(processors, timeout=60)
    before = threading.active_count()

    def meet(_: int) -> int:
        together.wait()
        return threading.get_ident()

    idents = in_threads(meet, range(processors))
    assert len(set(idents)) == processors
    assert threading.get_ident() in idents
    assert threading.active_count() == before


def test_of_several_errors_the_first_items_is_raised() -> None:
    def fail(number: int) -> None:
        if number > 2:
            raise ValueError(number)

    for _ in range(50):
        with pytest.raises(ValueError, match=r"^3$"):
            in_threads(fail, range(100))


@pytest.mark.parametrize("kind", [IndexError, KeyboardInterrupt])
def test_an_error_is_raised_and_what_none_has_begun_is_left(kind: type[BaseException]) -> None:
    begun = []

    def fail(number: int) -> None:
        begun.append(number)
        if number == 3:
            raise kind

    with pytest.raises(kind):
        in_threads(fail, range(10_000))
    assert 4 <= len(begun) < 10_000
