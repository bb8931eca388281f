"""Compare ways of rendering on the same unit and facets: a picture and a table of the numbers.

    python scripts/compare.py fast mean_image "fast render.objectives.codes.weight=0" \
        --on data=folder data.root=/photos unit=498 facets=10 --seeds 0 1 2 --out outputs/compare

A row is a preset (`render=`), with further overrides behind it. Every run is an ordinary run in its
own folder below --out: a comparison that was broken off goes on where it was. With --units the table ends
with each row's mean over all class units and over all hidden ones. @FILE stands for the lines of a file:

    python scripts/compare.py fast best --units @scripts/units.txt --on data=folder data.root=/photos facets=4
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from PIL import Image, ImageDraw

from mfv.errors import MfvError
from mfv.memory import keep_freed_memory
from mfv.pipeline import claim, run
from mfv.presets import composed, resolved
from mfv.writing import writing

COLUMNS = {
    "fidelity": "fidelity",
    "start": "fidelity_start",
    "typicality": "typicality",
    "top-1": "transfer_top1",
    "probability": "transfer_probability",
    "agreement": "agreement",
    "variation": "tv_ratio",
    "contrast": "contrast_ratio",
    "saturation": "saturation_ratio",
    "diversity": "diversity",
    "argmax": "argmax_share",
    "≥ median": "above_median_share",
    "value": "activation_mean",
    "percentile": "natural_percentile_mean",
}
GAP, SIDE, MARGIN = 4, 160, 150  # pixels of the panel


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs that are missing, then the table and the panel; return 1 where a run failed."""
    options = parse(arguments)
    keep_freed_memory()
    try:
        with writing({"--out": options.out}):
            return compared(options)
    except MfvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def compared(options: argparse.Namespace) -> int:
    """Compare as the command line asks."""
    options.out.mkdir(parents=True, exist_ok=True)
    table: list[dict[str, Any]] = []
    found: dict[str, list[dict[str, Any]]] = {}
    failed = False
    for unit in options.units or [""]:
        for row in options.rows:
            documents = [document(options, row, unit, seed) for seed in options.seeds]
            done = [found for found in documents if found]
            failed |= len(done) < len(documents)
            if not done:
                continue
            table.append(summary(f"{unit} {row}".strip(), done))
            found.setdefault(row, []).extend(done)
            save(options.out, table)
            print(markdown(table[-1:], header=len(table) == 1), flush=True)
    if len(options.units) > 1:
        table.extend(means := over_units(found))
        save(options.out, table)
        print(markdown(means))
    (options.out / "compare.md").write_text(markdown(table) + "\n", encoding="utf-8")
    for unit in options.units or [""]:
        runs = [(row, folder(options, row, unit, options.seeds[0])) for row in options.rows]
        runs = [(row, path) for row, path in runs if (path / "contact_sheet.png").exists()]
        if runs:
            path = options.out / f"{plain(unit) or 'panel'}.png"
            panel(runs).save(path)
            print(path)
    return int(failed)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, fromfile_prefix_chars="@"
    )
    parser.add_argument("rows", nargs="+", help="a preset, with overrides behind it")
    parser.add_argument("--on", nargs="*", default=[], help="overrides for every run: data=… unit=… facets=…")
    parser.add_argument("--units", nargs="*", default=[], help='more than one unit: "layer=features.14 unit=100"')
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("outputs/compare"))
    return parser.parse_args(arguments)


def folder(options: argparse.Namespace, row: str, unit: str, seed: int) -> Path:
    """Return the folder of one run."""
    return Path(options.out) / (plain(unit) or "unit") / plain(row) / f"seed{seed}"


def plain(text: str) -> str:
    """Return a text as a file's name."""
    return re.sub(r"[^A-Za-z0-9.=-]+", "_", text.replace("render.", "")).strip("_")


def document(options: argparse.Namespace, row: str, unit: str, seed: int) -> dict[str, Any] | None:
    """Return a run's facets.json, after making the run where it is missing."""
    directory = folder(options, row, unit, seed)
    preset, *overrides = shlex.split(row)
    settings = [f"render={preset}", f"seed={seed}", *options.on, *shlex.split(unit), *overrides]
    try:
        make(settings, directory)
    except (MfvError, HydraException, OmegaConfBaseException) as error:
        print(f"{row} {unit} seed {seed}: {error}", file=sys.stderr)
        return None
    found: dict[str, Any] = json.loads((directory / "facets.json").read_text(encoding="utf-8"))
    return found


def make(settings: Sequence[str], directory: Path) -> None:
    """Make an ordinary run, or finish it, in a directory, from the overrides that run.py takes.

    Raises:
        MfvError: a run with other settings was made there.

    """
    config = composed(settings)
    claim(directory, resolved(config))
    if not (directory / "contact_sheet.png").exists():
        run(config, directory)


def over_units(found: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return for every way of rendering its mean over the class units and over the hidden ones."""
    rows = []
    for kind in ("class", "hidden"):
        for row, documents in found.items():
            those = [document for document in documents if is_class(document) == (kind == "class")]
            if those:
                rows.append(summary(f"{kind} units: {row}", those))
    return rows


def is_class(document: dict[str, Any]) -> bool:
    """Say whether a run's unit is one of the network's outputs."""
    return "probability_mean" in document["metrics"]


def save(out: Path, table: Sequence[dict[str, Any]]) -> None:
    """Write the rows so far."""
    (out / "compare.json").write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")


def summary(name: str, documents: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row: mean and spread over the runs of every number that all of them have."""
    metrics = [document["metrics"] for document in documents]
    row: dict[str, Any] = {"row": name, "runs": len(metrics)}
    for title, key in COLUMNS.items():
        values = [found[key] for found in metrics if found.get(key) is not None]
        if values and len(values) == len(metrics):
            row[title] = {"mean": statistics.mean(values), "spread": statistics.pstdev(values), "values": values}
    row["seconds"] = {"mean": statistics.mean(document["timing"]["render"] for document in documents)}
    return row


def markdown(table: Sequence[dict[str, Any]], header: bool = True) -> str:
    """Return the rows as a Markdown table."""
    titles = [title for title in [*COLUMNS, "seconds"] if any(title in row for row in table)]
    lines = ["| | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"] if header else []
    for row in table:
        cells = [number(row[title]) if title in row else "" for title in titles]
        lines.append(f"| {row['row']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def number(cell: dict[str, Any]) -> str:
    """Return a mean, with the spread where there are several runs."""
    many = len(cell.get("values", [])) > 1
    return f"{cell['mean']:.3f}" + (f" ± {cell['spread']:.2f}" if many else "")


def panel(rows: Sequence[tuple[str, Path]]) -> Image.Image:
    """Return the pictures side by side: the mean images, then a row for every way of rendering."""
    strips = [("mean image", sorted((rows[0][1] / "means").glob("*.png")))]
    strips += [(name, sorted((path / "facets").glob("*.png"))) for name, path in rows]
    width = MARGIN + max(len(files) for _, files in strips) * (SIDE + GAP)
    sheet = Image.new("RGB", (width, len(strips) * (SIDE + GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for line, (name, files) in enumerate(strips):
        top = line * (SIDE + GAP)
        draw.multiline_text((4, top + 4), name.replace(" ", "\n"), fill="black")
        for column, file in enumerate(files):
            image = Image.open(file).convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
            sheet.paste(image, (MARGIN + column * (SIDE + GAP), top))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
