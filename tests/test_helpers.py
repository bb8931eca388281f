"""What helpers do is what would be done here; what they cannot do is done here."""

import logging
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from mfv import fork_server
from mfv.errors import MfvError
from mfv.helpers import Helpers, _packed
from mfv.machine import Machine

pytestmark = pytest.mark.skipif(fork_server.START_METHOD != "forkserver", reason="processes cannot be copied here")
LOG = logging.getLogger("mfv")
ROOT = Path(__file__).resolve().parents[1]


def doubled(values: torch.Tensor) -> tuple[torch.Tensor, int]:
    LOG.info("doubled %d", len(values))
    return 2 * values, os.getpid()


def refused(reason: str) -> None:
    raise MfvError(reason)


def dies(asked_by: int) -> int:
    if os.getpid() != asked_by:
        os.kill(os.getpid(), signal.SIGKILL)
    return asked_by


def test_work_is_done_elsewhere_and_what_it_says_is_logged_here(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mfv"), Helpers(2) as helpers:
        waiting = [helpers.begin(doubled, torch.arange(3) + number) for number in range(4)]
        assert not caplog.messages
        for number, result in enumerate(waiting):
            values, process = result()
            assert torch.equal(values, 2 * (torch.arange(3) + number))
            assert process != os.getpid()
    assert caplog.messages == ["doubled 3"] * 4


def test_without_helpers_it_is_done_here_when_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mfv"), Helpers() as helpers:
        result = helpers.begin(doubled, torch.arange(3))
        assert not caplog.messages
        assert result()[1] == os.getpid()


def test_a_mistake_is_raised_where_the_result_is_asked_for() -> None:
    with Helpers(1) as helpers:
        result = helpers.begin(refused, "no facets here")
        with pytest.raises(MfvError, match=r"^no facets here$"):
            result()
        assert helpers.begin(doubled, torch.arange(1))()[1] != os.getpid()


def test_what_cannot_be_sent_is_done_here() -> None:
    with Helpers(1) as helpers:
        assert helpers.begin(lambda: os.getpid())() == os.getpid()
        assert helpers.begin(partial(doubled, torch.arange(2)))()[1] != os.getpid()


SCRIPT = """
import os, sys
from mfv.helpers import Helpers

print("begins", flush=True)

class Own:
    pass

def own():
    return os.getpid()

with Helpers(1) as helpers:
    assert helpers.begin(own)() == os.getpid()
    assert helpers.begin(type, Own())() is Own
    assert helpers.begin(os.getpid)() != os.getpid()
    assert helpers.begin(__import__, "made_there")() is sys.modules["made_there"]  # a module cannot come back
print("done", flush=True)
"""


def test_a_program_of_ones_own_runs_once_and_what_stands_in_it_is_done_there(tmp_path: Path) -> None:
    (tmp_path / "made_there.py").write_text("")
    (tmp_path / "script.py").write_text(SCRIPT)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["begins", "done"], done.stderr
    assert done.stderr == ""


def test_the_work_of_a_helper_that_was_killed_is_done_here(caplog: pytest.LogCaptureFixture) -> None:
    with Helpers(1) as helpers:
        results = [helpers.begin(dies, os.getpid()) for _ in range(3)]
        assert [result() for result in results] == [os.getpid()] * 3
        assert helpers.begin(dies, os.getpid())() == os.getpid()
    assert "has ended, usually for want of memory" in caplog.text


def test_of_a_view_only_what_it_shows_is_sent() -> None:
    whole = torch.rand(1000, 100)
    assert len(_packed(whole[3])) < 2000 < len(_packed(whole))


def test_a_machine_without_a_gpu_has_no_helpers_by_itself() -> None:
    assert Machine(accelerator="cpu").helping == 0
    assert Machine(accelerator="cpu", helpers=3).helping == 3
    with pytest.raises(MfvError, match=r"machine\.helpers is -1; it is a number of processes"):
        Machine(helpers=-1)
