"""Measure how well each discovery method finds groups that people made: folders of images, one per group.

python scripts/discovery.py --data ../shared/data/movie-theater
python scripts/discovery.py --count        # what facets=auto finds: made-up codes of known kinds, and the folder's
"""

import argparse
import time
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from mfv.activations.values import as_codes
from mfv.data import FolderImages, Preprocess
from mfv.discovery.automatic import facet_count
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model

ROOT = Path(__file__).resolve().parents[1]
METHODS = ROOT / "conf" / "discovery"


class Agreement(NamedTuple):
    """Of a method, over seeds."""

    rand: np.ndarray  # (seeds,) adjusted Rand index with people's groups
    information: np.ndarray  # (seeds,) normalized mutual information with them
    own: np.ndarray  # (pairs of seeds,) adjusted Rand index of one seed's clusters with another's


def codes_and_groups(model: TargetModel, folder: Path, resize: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the codes (n, d) of a folder's images, and each image's group (n,), its sub-folder's number."""
    source = FolderImages(folder, labels="folder")
    preprocess = Preprocess(model.input_size, resize)
    codes = []
    with torch.inference_mode():
        for start in range(0, len(source), 25):
            numbers = range(start, min(start + 25, len(source)))
            pixels = torch.stack([preprocess(source.load(number)) for number in numbers])
            codes.append(as_codes(model.activations(pixels, [model.code_layer])[model.code_layer]))
    return torch.cat(codes).numpy(), np.unique(np.array(source.labels), return_inverse=True)[1]


def agreement(codes: np.ndarray, groups: np.ndarray, method: str, seeds: int, *changes: str) -> Agreement:
    """Return how well a method's clusters agree with the groups, and with one another over the seeds.

    Args:
        codes: (n, d).
        groups: (n,); as many facets are looked for as there are groups.
        method: a file of conf/discovery, without ".yaml".
        seeds: how many, from 0.
        changes: to the method's parameters, for example "perplexity=10"; those it has not are left out.

    """
    settings = OmegaConf.load(METHODS / f"{method}.yaml")
    fitting = [change for change in changes if change.split("=")[0] in settings]
    discover = instantiate(OmegaConf.merge(settings, OmegaConf.from_dotlist(fitting)))
    facets = len(np.unique(groups))
    found = [discover(codes, facets, seed).assignment for seed in range(seeds)]
    return Agreement(
        rand=np.array([adjusted_rand_score(groups, each) for each in found]),
        information=np.array([normalized_mutual_info_score(groups, each) for each in found]),
        own=np.array([adjusted_rand_score(one, other) for one, other in combinations(found, 2)]),
    )


def made_up(kinds: int, distance: float, images: int = 1300, width: int = 128) -> np.ndarray:
    """Return codes (images, width) around so many centres of length `distance`, with a deviation of 1 in all."""
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((kinds, width))
    centers *= distance / np.linalg.norm(centers, axis=1, keepdims=True)
    noise = generator.standard_normal((images, width)) / np.sqrt(width)
    return (centers[generator.integers(0, kinds, images)] + noise).astype(np.float32)


def count_facets(model: TargetModel, folder: Path, seeds: int) -> None:
    """Print the numbers of facets that are found by themselves."""
    print(f"{'codes':<28} {'kinds':>5}  found")
    for distance in (2.0, 1.2):
        for kinds in (1, 3, 6, 10):
            found = facet_count(made_up(kinds, distance), unit_length=False)
            print(f"{f'made up, {distance} apart':<28} {kinds:>5}  {found}", flush=True)
    codes, groups = codes_and_groups(model, folder, model.input_size)
    found_by_seed = [facet_count(codes, seed) for seed in range(seeds)]
    print(f"{folder.name:<28} {len(np.unique(groups)):>5}  {', '.join(map(str, found_by_seed))}")


def main() -> None:
    """Print a table of all methods of conf/discovery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/movie-theater"), help="one sub-folder per group"
    )
    parser.add_argument("--model", default="mobilenet_v2", help="torchvision's name of a network")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--resize",
        type=int,
        nargs="+",
        help="short side that photographs are scaled to before the centre is cut out; "
        "by default the input's, and the larger one that is usual for accuracy (256 for 224)",
    )
    parser.add_argument("--count", action="store_true", help="the number of facets that is found by itself, instead")
    parser.add_argument("changes", nargs="*", help="for the methods that have them: unit_length=false …")
    arguments = parser.parse_args()
    try:
        model = torchvision_model(arguments.model)
        if arguments.count:
            count_facets(model, arguments.data, arguments.seeds)
            return
        methods = sorted(path.stem for path in METHODS.glob("*.yaml"))
        print(f"{'short side':>10}  {'method':<12} {'ARI':>14} {'NMI':>14} {'between seeds':>14} {'s/run':>6}")
        sizes = arguments.resize or [model.input_size, round(model.input_size * 8 / 7)]
        for resize in sizes:
            codes, groups = codes_and_groups(model, arguments.data, resize)
            for method in methods:
                begun = time.perf_counter()
                scores = agreement(codes, groups, method, arguments.seeds, *arguments.changes)
                seconds = (time.perf_counter() - begun) / arguments.seeds
                columns = " ".join(f"{f'{each.mean():.3f} ± {each.std():.3f}':>14}" for each in scores)
                print(f"{resize:>10}  {method:<12} {columns} {seconds:>6.2f}", flush=True)
    except MfvError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
