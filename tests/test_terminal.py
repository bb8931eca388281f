"""What a terminal of 80 columns shows, read from a pseudo terminal."""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
from pathlib import Path

import pytest
from commands import Command

from mfv.pipeline import with_bars

COLUMNS = 80
STAGES = ["collect", "select", "discover", "render", "evaluate", "report"]


def transcript(arguments: list[str], directory: Path, **environment: str) -> str:
    """Return what a run writes to a terminal of 80 columns that is all it has."""
    terminal, end = pty.openpty()
    fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", 24, COLUMNS, 0, 0))
    with pytest.MonkeyPatch.context() as patch:
        for name in ("COLUMNS", "LINES"):
            patch.delenv(name, raising=False)
        process = Command(arguments, directory, output=os.ttyname(end), **{"TERM": "xterm", **environment})
    written, ended = b"", False
    while not ended:
        ended = process.poll() is not None  # and what it has written is there to read
        while select.select([terminal], [], [], 0 if ended else 0.1)[0]:
            written += os.read(terminal, 1 << 16)
    os.close(end)
    os.close(terminal)
    text = written.decode()
    assert process.wait(60) == 0, text
    return text


def screen(text: str) -> list[str]:
    """Return the lines that are left of what is written to a terminal: returns, new lines, and steps up."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\d*A|\r|\n|[^\r\n\x1b]+|\x1b", text):
        assert part != "\x1b", "no other control sequence, and no colour"
        if part == "\r":
            column = 0
        elif part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part.startswith("\x1b"):
            row -= int(part[2:-1] or 1)
        else:
            line = lines[row].ljust(column)
            lines[row] = line[:column] + part + line[column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


def run(arguments: list[str], directory: Path, **environment: str) -> str:
    small = ["data.photos=[coffee,cat,rocket]", "data.scales=[0.8]", "facets=2", "render.iterations=4"]
    return transcript(
        [*small, "evaluation=none", *arguments, f"store.root={directory}/store"], directory, **environment
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("terminal")


@pytest.fixture(scope="module")
def text(place: Path) -> str:
    return run(["hydra.run.dir=one"], place)


def test_a_run_leaves_a_line_per_stage_and_the_summary(place: Path, text: str) -> None:
    lines = screen(text)
    named = [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in STAGES and "[" in line]
    assert named == STAGES
    assert re.fullmatch(r"collect  100%\|█+\| 18/18 \[\d\d:\d\d<00:00, +[\d.]+ images/s\]", by_name(lines, "collect"))
    rendered = r"render   100%\|█+\| 4/4 \[\d\d:\d\d<00:00, +[\d.]+ steps/s, activation -?[\d.]+\]"
    assert re.fullmatch(rendered, by_name(lines, "render"))
    assert re.fullmatch(r"discover +\[\d\d:\d\d\]", by_name(lines, "discover"))
    for chatter in ("Predicting", "Training", "Epoch", "it/s", "Trainer", "…", "GPU"):
        assert chatter not in text
    too_long = [line for line in lines if len(line) > COLUMNS and str(place) not in line]
    assert too_long == []
    assert any(re.match(r" *facet +images +activation", line) for line in lines)
    stages = next(line for line in lines if line.startswith("collect") and " s · " in line)
    assert "render" in stages
    assert lines[-2].startswith("gallery ")
    # In the order of the story, nothing among the bars but what was logged.
    assert lines.index(by_name(lines, "report")) < lines.index(stages)


def by_name(lines: list[str], stage: str) -> str:
    (line,) = [line for line in lines if line.startswith(stage) and "[" in line]
    return line


def test_quiet_is_quiet(place: Path, text: str) -> None:
    assert run(["hydra.run.dir=one", "render.batch_size=4", "--quiet"], place) == ""  # all but the report was done


def test_many_units_have_a_line_of_their_own_with_the_stage_in_hand_beneath(place: Path) -> None:
    text = run(["unit=[3,4]", "hydra.run.dir=three"], place)
    lines = screen(text)
    assert [line for line in lines if line.startswith("job")] == [by_name(lines, "job")]
    assert re.fullmatch(r"job      100%\|█+\| 2/2 units \[\d\d:\d\d<00:00\]", by_name(lines, "job"))
    assert "render     0%" in text
    assert not any(line.startswith(tuple(STAGES)) for line in lines)  # gone when they are over
    assert lines[-2].startswith("index ")
    assert sum(": 2 facets, gallery" in line for line in lines) == 2


def test_bars_are_where_a_cursor_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert with_bars("auto")
    monkeypatch.setenv("TERM", "dumb")
    assert not with_bars("auto")
    assert with_bars(True)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False)
    assert not with_bars("auto")
