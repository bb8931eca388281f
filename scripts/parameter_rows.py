"""Paint the rows of docs/parameters.md: the same facets with too little, the right amount and too much of a parameter.

    python scripts/parameter_rows.py                 # all rows of scripts/parameter_rows.yaml
    python scripts/parameter_rows.py tv momentum     # some of them

Every picture is of an ordinary run below --runs (scripts/compare.py): what is there already is not run again.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compare
import yaml
from hydra import compose, initialize_config_module
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import Image, ImageDraw

from mfv.config import register
from mfv.errors import MfvError
from mfv.reports.images import square
from mfv.reports.typography import draw_text, text_width

ROOT = Path(__file__).resolve().parents[1]
TABLE = ROOT / "scripts" / "parameter_rows.yaml"
PICTURES = ROOT / "docs" / "images" / "parameters"
PRESET = "fast"
WIDTH, GAP, APART, LABEL, LETTERS = 840, 2, 16, 22, 14  # pixels: of a strip, between pictures, between variants; text
LARGEST, QUALITIES = 29_000, range(90, 30, -4)  # bytes of a strip, and the JPEG qualities that are tried for it


@dataclass(frozen=True)
class Row:
    """A parameter, or several that belong together, and the values that are shown."""

    name: str  # of the picture
    keys: tuple[str, ...]  # of the configuration
    values: tuple[tuple[Any, ...], ...]  # per variant one of each key
    labels: tuple[str, ...]  # what stands below the variants
    on: tuple[str, ...]  # overrides for all variants
    show: str  # which pictures of a run: facets, or means
    columns: int  # pictures beside one another of each variant
    lines: int  # and below one another

    def default(self) -> tuple[Any, ...]:
        """Return what the preset has; an error where the configuration has no such keys."""
        register()
        try:
            with initialize_config_module("conf", version_base="1.3"):
                config = compose("config", [f"render={PRESET}", *self.on])
            missing = [key for key in self.keys if OmegaConf.select(config, key, default=self) is self]
        except (HydraException, OmegaConfBaseException) as error:
            raise MfvError(f"{TABLE.name}: row {self.name}: {error}") from error
        if missing:
            raise MfvError(f"{TABLE.name}: row {self.name}: the configuration has no {', '.join(missing)}")
        return tuple(OmegaConf.select(config, key) for key in self.keys)

    def variants(self) -> list[str]:
        """Return the rows of a comparison: the preset, with each variant's overrides behind it."""
        default = self.default()
        return [
            PRESET if value == default else " ".join([PRESET, *map(_override, self.keys, value)])
            for value in self.values
        ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the runs that are missing and write the strips; return 1 where a run failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="which rows; by default all")
    parser.add_argument("--on", nargs="*", default=[], help="overrides for every run: render.iterations=50 …")
    parser.add_argument("--runs", type=Path, default=Path("outputs/parameters"))
    parser.add_argument("--pictures", type=Path, default=PICTURES)
    options = parser.parse_args(arguments)
    failed = False
    try:
        for row in chosen(table(), options.names):
            made = paint(row, options.on, options.runs)
            failed |= made is None
            if made is not None:
                options.pictures.mkdir(parents=True, exist_ok=True)
                path = options.pictures / f"{row.name}.jpg"
                path.write_bytes(encoded(made))
                print(path, flush=True)
    except MfvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return int(failed)


def table(path: Path = TABLE) -> list[Row]:
    """Return the rows."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return [_row(name, {**content["all"], **row}) for name, row in content["rows"].items()]


def chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return the rows with these names, all where none is given."""
    known = {row.name: row for row in rows}
    for name in names:
        if name not in known:
            raise MfvError(f"there is no row {name!r}; there are {', '.join(known)} ({TABLE.name})")
    return [known[name] for name in names] or list(rows)


def paint(row: Row, on: Sequence[str], runs: Path) -> Image.Image | None:
    """Return a row's strip, after the runs that are missing; None where one failed."""
    variants = row.variants()
    out = runs / compare.plain(" ".join(row.on))
    arguments = [*variants, "--on", *row.on, *on, "--out", str(out)]
    if compare.main(arguments):
        return None
    options = compare.parse(arguments)
    found = [sorted((compare.folder(options, variant, "", 0) / row.show).glob("*.png")) for variant in variants]
    return strip([[Image.open(file) for file in files] for files in found], row)


def strip(pictures: Sequence[Sequence[Image.Image]], row: Row) -> Image.Image:
    """Return each variant's first pictures side by side, its label below them."""
    default = row.default()
    block = (WIDTH - APART * (len(row.values) - 1)) // len(row.values)
    side = (block - GAP * (row.columns - 1)) // row.columns
    sheet = Image.new("RGB", (WIDTH, row.lines * (side + GAP) + LABEL), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (some, value, label) in enumerate(zip(pictures, row.values, row.labels, strict=True)):
        left = number * (block + APART)
        for place, picture in enumerate(some[: row.columns * row.lines]):
            line, column = divmod(place, row.columns)
            sheet.paste(square(picture, side), (left + column * (side + GAP), line * (side + GAP)))
        text = f"{label} (default)" if value == default else label
        middle = left + (block - text_width(text, LETTERS)) / 2
        draw_text(draw, middle, sheet.height - 5, text, LETTERS, "black")
    return sheet


def encoded(image: Image.Image) -> bytes:
    """Return the image as the best JPEG that is small enough."""
    for quality in QUALITIES:
        buffer = io.BytesIO()
        image.save(buffer, format="jpeg", quality=quality, optimize=True)
        if buffer.tell() <= LARGEST:
            break
    return buffer.getvalue()


def _row(name: str, content: Mapping[str, Any]) -> Row:
    several = len(content["keys"]) > 1
    values = tuple(tuple(value) if several else (value,) for value in content["values"])
    labels = content.get("labels") or [" → ".join(map(_written, value)) for value in values]
    return Row(
        name, tuple(content["keys"]), values, tuple(labels), tuple(content["on"]),
        content["show"], content["columns"], content["lines"],
    )  # fmt: skip


def _override(key: str, value: Any) -> str:
    return f"{key}={_written(value)}"


def _written(value: Any) -> str:
    """Return a value as the command line takes it."""
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
