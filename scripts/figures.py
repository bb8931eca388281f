"""Draw a paper's figures, each as PNG and as PDF with text that stays text (docs/figures.md shows them).

    python scripts/figures.py facets outputs/2026-11-25/10-00-00          # facets beside real images
    python scripts/figures.py map outputs/2026-11-25/10-00-00             # the map of the images
    python scripts/figures.py phases outputs/2026-11-25/10-00-00          # how the images grew
    python scripts/figures.py layers outputs/2026-11-25/11-00-00          # a job over layers
    python scripts/figures.py methods fast best mean_image lucid --on data=folder data.root=/photos unit=498 facets=4
    python scripts/figures.py starts mean_image --on data=folder data.root=/photos unit=498 facets=4
    python scripts/figures.py layers --on "layer=[features.2,features.7,features.18]" "unit=[3,8]" facets=2

RUN is the directory of a finished run; its network is not needed. What is rendered takes the overrides of run.py
behind --on, in runs below --out, as scripts/compare.py makes them: a figure that was broken off goes on where it was.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import compare
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from torch import Tensor

from mfv.errors import MfvError
from mfv.finished import only_facets, read_growth, read_run, seen_photographs, units_of
from mfv.memory import keep_freed_memory
from mfv.pipeline import config_of_run, source_of_run
from mfv.rendering.checks import STARTS
from mfv.structures import FacetSet
from mfv.writing import writing

CENTIMETRES = {"": 1.0, "cm": 1.0, "mm": 0.1, "in": 2.54}
NARROWEST, WIDEST = 4.0, 100.0
MEANS = ("mean", "contrast")  # starts that are a facet's mean image


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the figure that is asked for; return 1 where that cannot be."""
    options = parse(arguments)
    keep_freed_memory()
    try:
        with writing({"--out": options.out}):
            options.draw(options)
    except (MfvError, HydraException, OmegaConfBaseException) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def facets(options: argparse.Namespace) -> None:
    """Draw facets beside real images."""
    from mfv.reports.figures.facets import facets_figure

    found = [only_facets(read_run(run), options.facets) for run in options.runs]
    nearest = []
    for run, each in zip(options.runs, found, strict=True):
        source = source_of_run(run)
        nearest.append([seen_photographs(each, source, facet.exemplars[: options.images]) for facet in each.facets])
    write(options, facets_figure(found, nearest, options.width, options.images))


def map_(options: argparse.Namespace) -> None:
    """Draw the 2-D map of a run's images."""
    from mfv.reports.figures.map import map_figure

    found = read_run(options.run)
    photographs = seen_photographs(found, source_of_run(options.run), found.ids)
    write(options, map_figure(found, list(photographs), options.width))


def phases(options: argparse.Namespace) -> None:
    """Draw how a run's images grew."""
    from mfv.reports.figures.phases import phases_figure

    whole = read_run(options.run)
    found = only_facets(whole, options.facets)
    places = [whole.facets.index(facet) for facet in found.facets]
    growth = read_growth(options.run, whole)
    snapshots = {step: images[places] for step, images in growth.snapshots.items()}
    start = found.mean_images if config_of_run(options.run).render.get("start", "mean") in MEANS else None
    write(options, phases_figure(found, snapshots, len(growth.curves), start, options.width))


def methods(options: argparse.Namespace) -> None:
    """Render the same facets by several methods and draw them side by side."""
    from mfv.reports.figures.methods import methods_figure

    names = options.titles or options.rows
    if len(names) != len(options.rows):
        raise MfvError(f"{len(options.rows)} methods, but {len(names)} --titles: give one for each")
    runs = list(zip(names, rendered(options, options.rows), strict=True))
    write(options, methods_figure(runs, nearest_images(options, options.rows[0], runs[0][1]), options.width))


def starts(options: argparse.Namespace) -> None:
    """Render the same facets from several starts and draw what became of them."""
    from mfv.reports.figures.starts import starts_figure

    rows = [f"{options.preset} render.start={start}" for start in options.starts]
    runs = list(zip(options.starts, rendered(options, rows), strict=True))
    found = runs[0][1]
    pictures = {"mean": found.mean_images, "image": nearest_images(options, rows[0], found)}
    write(options, starts_figure(runs, pictures, options.width))


def layers(options: argparse.Namespace) -> None:
    """Draw the units of a job over layers, which is made where no directory is given."""
    from mfv.reports.figures.layers import LayerUnits, layers_figure

    if (options.run is None) == (not options.on):
        raise MfvError("layers: give the directory of a job, or --on with the overrides of one (layer=[…] unit=…)")
    directory = options.out / "layers" if options.run is None else options.run
    if options.run is None:
        compare.make([f"seed={options.seed}", *options.on], directory)
    units = [read_run(place) for place in units_of(directory)]
    if not units:
        raise MfvError(f"{directory} holds no job of several units: give the directory of one (layer=[…] unit=[…])")
    drawn = []
    for name in dict.fromkeys(found.unit.layer for found in units):
        some = [found for found in units if found.unit.layer == name][: options.units]
        field = some[0].discovery.get("receptive_field")
        side = field["size"] if field else some[0].mean_images.shape[-1]
        images = [found.images for found in some if found.images is not None]
        drawn.append(LayerUnits(name, side, [found.unit.index for found in some], images))
    write(options, layers_figure(drawn, options.width))


def rendered(options: argparse.Namespace, rows: Sequence[str]) -> list[FacetSet]:
    """Return what each row, a preset with overrides behind it, makes; runs that are there are taken."""
    found = []
    for row in rows:
        if compare.document(options, row, "", options.seed) is None:
            raise MfvError(f"{row}: nothing was rendered (see above)")
        found.append(read_run(compare.folder(options, row, "", options.seed)))
    return found


def nearest_images(options: argparse.Namespace, row: str, found: FacetSet) -> Tensor:
    """Return each facet's nearest image, as the unit saw it."""
    source = source_of_run(compare.folder(options, row, "", options.seed))
    return torch.cat([seen_photographs(found, source, facet.exemplars[:1]) for facet in found.facets])


def write(options: argparse.Namespace, figure: object) -> None:
    """Save a figure under its command's name and say where."""
    from mfv.reports.figures.sheet import Figure, save

    assert isinstance(figure, Figure)
    for path in save(figure, options.out / options.command, options.dpi):
        print(path)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True, metavar="FIGURE")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--out", type=Path, default=Path("outputs/figures"), help="folder (default: %(default)s)")
    common.add_argument("--width", type=width, default=17.5, help="8.5cm, 3.35in; 17.5cm by default")
    common.add_argument("--dpi", type=positive, default=300, help="of the PNG (default: %(default)s)")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument("--facets", type=int, nargs="+", metavar="N", help="numbers of the facets, all by default")
    making = argparse.ArgumentParser(add_help=False)
    making.add_argument("--on", nargs="*", default=[], help="overrides for every run: data=… unit=… facets=…")
    making.add_argument("--seed", type=int, default=0)

    def command(name: str, draw: object, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        about = (draw.__doc__ or "").rstrip(".")
        added = commands.add_parser(name, parents=[common, *parents], help=about, description=about + ".")
        added.set_defaults(draw=draw)
        return added

    shown = command("facets", facets, some)
    shown.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    shown.add_argument("--images", type=positive, default=8, help="nearest images of a facet (default: %(default)s)")
    command("map", map_).add_argument("run", type=Path, metavar="RUN")
    command("phases", phases, some).add_argument("run", type=Path, metavar="RUN")
    ways = command("methods", methods, making)
    ways.add_argument("rows", nargs="+", metavar="METHOD", help="a preset, with overrides behind it in one word")
    ways.add_argument("--titles", nargs="+", help="what the columns are called; by default as the methods are given")
    begun = command("starts", starts, making)
    begun.add_argument("preset", nargs="?", default="fast", help="default: %(default)s")
    begun.add_argument("--starts", nargs="+", choices=STARTS, default=["noise", "image", "mean"])
    deep = command("layers", layers, making)
    deep.add_argument("run", nargs="?", type=Path, metavar="JOB", help="the directory of a job over layers")
    deep.add_argument("--units", type=positive, help="of each layer at most so many")
    return parser.parse_args(arguments)


def width(text: str) -> float:
    """Return a width in centimetres from a text such as "8.5", "8.5cm" or "3.35in"."""
    parts = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([a-z]*)\s*", text)
    if parts is None or parts[2] not in CENTIMETRES:
        raise argparse.ArgumentTypeError(f"{text!r} is no width: give one such as 8.5cm, 85mm or 3.35in")
    found = float(parts[1]) * CENTIMETRES[parts[2]]
    if not NARROWEST <= found <= WIDEST:
        raise argparse.ArgumentTypeError(f"{text} is {found:g} cm: a figure is {NARROWEST:g} to {WIDEST:g} cm wide")
    return found


def positive(text: str) -> int:
    """Return a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
