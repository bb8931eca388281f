"""The end of the command's process, each time in a process of its own."""

import subprocess
import sys

import pytest

ENDING = """
import atexit, sys
from mfv import program
import mfv.cli

class Kept:
    def __del__(self):
        print("taken apart", flush=True)

kept = Kept()
atexit.register(print, "what waits for the end")
{command}
sys.argv = ["run.py"]
program.main()
print("behind it")
"""


def ending(command: str) -> subprocess.CompletedProcess[str]:
    code = ENDING.format(command=command)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_what_waits_for_the_end_of_a_command_is_done_and_nothing_is_taken_apart() -> None:
    done = ending("mfv.cli.main = lambda: print('the run')")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["the run", "behind it", "what waits for the end"]


@pytest.mark.parametrize(("raised", "status"), [("sys.exit(1)", 1), ("1 / 0", 1), ("sys.exit(130)", 130)])
def test_what_fails_keeps_its_status_and_ends_as_python_does(raised: str, status: int) -> None:
    done = ending(f"def fail():\n    {raised}\nmfv.cli.main = fail")
    assert done.returncode == status
    assert done.stdout.splitlines() == ["what waits for the end", "taken apart"]
    assert ("ZeroDivisionError" in done.stderr) == (raised == "1 / 0")
