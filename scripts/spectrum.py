"""Measure photographs' mean magnitude spectrum and colour axes, and store the spectrum that mfv ships.

python scripts/spectrum.py                                   # prints the bundled photographs' colour axes
python scripts/spectrum.py --data /photos                    # a folder's
python scripts/spectrum.py --output FILE                     # writes the spectrum, too
python scripts/spectrum.py --output package                  # in place of the one that mfv ships
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from mfv.data import FolderImages, ImageSource, PhotoCrops, Preprocess
from mfv.errors import MfvError
from mfv.parameterizations import color, spectrum

SIDE = 224
OUTPUT = Path(spectrum.__file__).with_name(spectrum.PHOTOGRAPHS)


def photographs(folder: Path | None, most: int) -> Tensor:
    """Return up to `most` images (n, 3, 224, 224) in bytes, evenly spread over a folder or the bundled photographs.

    Of the bundled ones only crops of 224 pixels and more count: smaller ones lack the fine frequencies.
    """
    source: ImageSource = PhotoCrops() if folder is None else FolderImages(folder)
    numbers = [n for n in range(len(source)) if folder is not None or min(source.load(n).size) >= SIDE]
    chosen = [numbers[i] for i in np.unique(np.linspace(0, len(numbers) - 1, most).round().astype(int))]
    preprocess = Preprocess(SIDE, SIDE)
    return torch.stack([(preprocess(source.load(number)) * 255).round().byte() for number in chosen])


def quarter(whole: Tensor) -> Tensor:
    """Return a spectrum (3, H, H//2 + 1) averaged with its mirror image's, from zero frequency up."""
    half = whole.shape[-1]
    mirrored = whole.roll(-1, 1).flip(1)
    return ((whole + mirrored) / 2)[:, :half]


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of photographs; by default the bundled ones")
    parser.add_argument("--most", type=int, default=1000, help="photographs to measure")
    parser.add_argument("--output", help="the file to write; package: the one that mfv ships; by default none")
    arguments = parser.parse_args()
    try:
        pixels = photographs(arguments.data, arguments.most)
    except MfvError as error:
        parser.exit(1, f"{error}\n")
    print(f"{len(pixels)} photographs; colour axes (a row per red, green, blue):")
    for row in color.ColorBasis.of(pixels).matrix:
        print("  " + "  ".join(f"{value:8.4f}" for value in row))
    measured = quarter(spectrum.mean_spectrum(pixels, color.IMAGENET.normalized))
    if arguments.output:
        path = OUTPUT if arguments.output == "package" else Path(arguments.output)
        save_file({"spectrum": measured.half().contiguous()}, path)
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
