"""The curves of a run as a CSV file: one line per step."""

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mfv.errors import MfvError
from mfv.replacing import replacing


def write_curves(path: str | Path, steps: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
    """Write `steps` (s,) and each column (s,) with enough digits to read the same values back.

    NaN, a value that was not measured at a step, is an empty cell. The file replaces its older version in
    one move.
    """
    steps = np.asarray(steps)
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    for name, values in arrays.items():
        if steps.ndim != 1 or values.shape != steps.shape:
            raise ValueError(f"column {name!r} has shape {values.shape}, the steps have {steps.shape}")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["step", *arrays])
        for row, step in enumerate(steps):
            writer.writerow([int(step), *(_cell(values[row]) for values in arrays.values())])


def read_curves(path: str | Path) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the steps (s,) and the columns (s,) that `write_curves` wrote; empty cells are NaN."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file)) or [[]]
    if header[:1] != ["step"]:
        raise MfvError(f"{path} is not a file of curves: its first line does not start with 'step'")
    if ragged := [line for line, row in enumerate(rows, start=2) if len(row) != len(header)]:
        raise MfvError(f"{path}, line {ragged[0]}: expected {len(header)} cells, as in the first line")
    steps = np.array([int(row[0]) for row in rows], dtype=np.int64)
    columns = {
        name: np.array([float(row[place] or "nan") for row in rows], dtype=np.float64)
        for place, name in enumerate(header[1:], start=1)
    }
    return steps, columns


def _cell(value: np.generic) -> str:
    """Return the shortest text that reads back as the same number of its precision."""
    return "" if np.isnan(value) else str(value)
