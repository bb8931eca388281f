"""Measure how well each discovery method finds groups that people made: folders of images, one per group.

python scripts/discovery.py --data ../shared/data/movie-theater
python scripts/discovery.py --count        # what facets=auto finds: made-up codes of known kinds, and the folder's
python scripts/discovery.py --large 12000  # scikit-learn's t-SNE and openTSNE's, of so many made-up codes
"""

import argparse
import time
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.neighbors import NearestNeighbors
from threadpoolctl import threadpool_limits
from torch import Tensor

from mfv.activations.contributions import contributions
from mfv.activations.values import as_codes
from mfv.data import FolderImages, Preprocess
from mfv.discovery.automatic import facet_count
from mfv.discovery.embedding import by_opentsne, by_scikit_learn
from mfv.discovery.partition import kmeans
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model
from mfv.structures import Clustering

ROOT = Path(__file__).resolve().parents[1]
METHODS = ROOT / "conf" / "discovery"
DRAWN = 0.8  # the share of the images in a draw


class Agreement(NamedTuple):
    """Of a method, over seeds."""

    rand: np.ndarray  # (seeds,) adjusted Rand index with people's groups
    information: np.ndarray  # (seeds,) normalized mutual information with them
    own: np.ndarray  # (pairs of seeds,) adjusted Rand index of one seed's clusters with another's


def images_and_groups(model: TargetModel, folder: Path, resize: int) -> tuple[Tensor, np.ndarray]:
    """Return a folder's images (n, 3, S, S) uint8, and each one's group (n,), its sub-folder's number."""
    source = FolderImages(folder, labels="folder")
    preprocess = Preprocess(model.input_size, resize)
    windows = torch.stack([preprocess.loaded(source, number) for number in range(len(source))])
    return windows, np.unique(np.array(source.labels), return_inverse=True)[1]


def codes_of(model: TargetModel, windows: Tensor) -> np.ndarray:
    """Return the images' codes (n, d)."""
    with torch.inference_mode():
        found = [
            model.activations(batch.float() / 255, [model.code_layer])[model.code_layer] for batch in windows.split(25)
        ]
    return torch.cat([as_codes(each) for each in found]).numpy()


def agreement(codes: np.ndarray, groups: np.ndarray, method: str, seeds: int, *changes: str) -> Agreement:
    """Return how well a method's clusters agree with the groups, and with one another over the seeds.

    Args:
        codes: (n, d).
        groups: (n,); as many facets are looked for as there are groups.
        method: a file of conf/discovery, without ".yaml".
        seeds: how many, from 0.
        changes: to the method's parameters, for example "perplexity=10"; those it has not are left out.

    """
    discover, facets = method_of(method, changes), len(np.unique(groups))
    found = [discover(codes, facets, seed).assignment for seed in range(seeds)]
    return Agreement(
        rand=np.array([adjusted_rand_score(groups, each) for each in found]),
        information=np.array([normalized_mutual_info_score(groups, each) for each in found]),
        own=np.array([adjusted_rand_score(one, other) for one, other in combinations(found, 2)]),
    )


def resampled(codes: np.ndarray, facets: int, method: str, draws: int, *changes: str) -> np.ndarray:
    """Return how alike a method's clusters of two draws of the images are: (pairs of draws,) adjusted Rand indices.

    Each draw is four fifths of the images, the seed is always 0; two are compared on the images that are in both.
    """
    discover = method_of(method, changes)
    found = np.full((draws, len(codes)), -1)
    for draw, assignment in enumerate(found):
        rows = np.sort(np.random.default_rng(draw).permutation(len(codes))[: round(DRAWN * len(codes))])
        assignment[rows] = discover(codes[rows], facets, 0).assignment
    return np.array(
        [
            adjusted_rand_score(one[(one >= 0) & (other >= 0)], other[(one >= 0) & (other >= 0)])
            for one, other in combinations(found, 2)
        ]
    )


def method_of(name: str, changes: Sequence[str]) -> Callable[[np.ndarray, int, int], Clustering]:
    """Return a method of conf/discovery with those of the changes that it has parameters for."""
    settings = OmegaConf.load(METHODS / f"{name}.yaml")
    fitting = [change for change in changes if change.split("=")[0] in settings]
    return instantiate(OmegaConf.merge(settings, OmegaConf.from_dotlist(fitting)))


def made_up(kinds: int, distance: float, images: int = 1300, width: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return codes (images, width) around so many centres of length `distance`, with a deviation of 1 in all.

    And each one's kind (images,).
    """
    generator = np.random.default_rng(0)
    centers = generator.standard_normal((kinds, width))
    centers *= distance / np.linalg.norm(centers, axis=1, keepdims=True)
    noise = generator.standard_normal((images, width)) / np.sqrt(width)
    kind = generator.integers(0, kinds, images)
    return (centers[kind] + noise).astype(np.float32), kind


def count_facets(model: TargetModel, folder: Path, seeds: int) -> None:
    """Print the numbers of facets that are found by themselves."""
    print(f"{'codes':<28} {'kinds':>5}  found")
    for distance in (2.0, 1.2):
        for kinds in (1, 3, 6, 10):
            found = facet_count(made_up(kinds, distance)[0], unit_length=False)
            print(f"{f'made up, {distance} apart':<28} {kinds:>5}  {found}", flush=True)
    windows, groups = images_and_groups(model, folder, model.input_size)
    codes = codes_of(model, windows)
    found_by_seed = [facet_count(codes, seed) for seed in range(seeds)]
    print(f"{folder.name:<28} {len(np.unique(groups)):>5}  {', '.join(map(str, found_by_seed))}")


def compare_maps(count: int, distance: float, threads: int, neighbours: int = 15) -> None:
    """Print how long both libraries' t-SNE takes with made-up codes, and how good and alike their maps are."""
    codes, kinds = made_up(20, distance, count, 50)
    near = nearest(codes, neighbours)
    found: dict[str, np.ndarray] = {}
    print(f"{'t-SNE':<14} {'seconds':>8} {'divergence':>11} {'ARI to kinds':>13} {'neighbours kept':>16}")
    for name, arrange in (
        ("scikit-learn", lambda: by_scikit_learn(codes, 0, 30.0, 1000, "pca")),
        ("openTSNE", lambda: by_opentsne(codes, 0, 30.0, 1000, "pca", threads)),
    ):
        begun = time.perf_counter()
        with threadpool_limits(threads):
            plane, divergence = arrange()
        seconds = time.perf_counter() - begun
        found[name] = kmeans(plane.astype(np.float32), 20, 0, tries=10).assignment
        kept = np.mean([len(np.intersect1d(*both)) for both in zip(near, nearest(plane, neighbours), strict=True)])
        score = adjusted_rand_score(kinds, found[name])
        print(f"{name:<14} {seconds:>8.1f} {divergence:>11.3f} {score:>13.3f} {kept / neighbours:>16.3f}", flush=True)
    plain = kmeans(codes, 20, 0, tries=10).assignment
    print(f"one's facets with the other's (ARI): {adjusted_rand_score(*found.values()):.3f}")
    print(f"k-means of the codes themselves, with the kinds (ARI): {adjusted_rand_score(kinds, plain):.3f}")


def nearest(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Return the numbers of each point's nearest others (n, neighbours)."""
    return NearestNeighbors(n_neighbors=neighbours).fit(points).kneighbors(return_distance=False)


def main() -> None:
    """Print a table of all methods of conf/discovery."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data/movie-theater"), help="one sub-folder per group"
    )
    parser.add_argument("--model", default="mobilenet_v2", help="torchvision's name of a network")
    parser.add_argument("--layer", default="classifier.1", help="whose unit the images are of, for attribution")
    parser.add_argument("--unit", type=int, default=498)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument(
        "--resize",
        type=int,
        nargs="+",
        help="short side that photographs are scaled to before the centre is cut out; "
        "by default the input's, and the larger one that is usual for accuracy (256 for 224)",
    )
    parser.add_argument("--large", type=int, metavar="N", help="compare two libraries' t-SNE, instead")
    parser.add_argument("--distance", type=float, default=0.5, help="of the made-up kinds from the middle, for --large")
    parser.add_argument("--threads", type=int, default=1, help="of t-SNE, for --large")
    parser.add_argument("--count", action="store_true", help="the number of facets that is found by itself, instead")
    parser.add_argument("changes", nargs="*", help="for the methods that have them: unit_length=false …")
    arguments = parser.parse_args()
    if arguments.large:
        compare_maps(arguments.large, arguments.distance, arguments.threads)
        return
    try:
        model = torchvision_model(arguments.model)
        if arguments.count:
            count_facets(model, arguments.data, arguments.seeds)
            return
        methods = sorted(path.stem for path in METHODS.glob("*.yaml"))
        heads = ("ARI", "NMI", "between seeds", "between draws")
        print(f"{'short side':>10}  {'method':<12} {' '.join(f'{head:>14}' for head in heads)} {'s/run':>6}")
        sizes = arguments.resize or [model.input_size, round(model.input_size * 8 / 7)]
        for resize in sizes:
            windows, groups = images_and_groups(model, arguments.data, resize)
            codes = {
                "attribution": contributions(model, arguments.layer, arguments.unit, None, windows),
                "plain": codes_of(model, windows),
            }
            for method in methods:
                begun = time.perf_counter()
                seen = codes.get(method, codes["plain"])
                scores = agreement(seen, groups, method, arguments.seeds, *arguments.changes)
                seconds = (time.perf_counter() - begun) / arguments.seeds
                drawn = resampled(seen, len(np.unique(groups)), method, arguments.seeds, *arguments.changes)
                columns = " ".join(f"{f'{each.mean():.3f} ± {each.std():.3f}':>14}" for each in (*scores, drawn))
                print(f"{resize:>10}  {method:<12} {columns} {seconds:>6.2f}", flush=True)
    except MfvError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
