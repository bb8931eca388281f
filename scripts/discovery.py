"""How well each discovery method finds known kinds again: python scripts/discovery.py [--data DIR] [--seeds N].

DIR holds one folder per known kind. Prints the adjusted Rand index and the normalized mutual
information between the kinds and the clusters found in MobileNetV2's codes, mean over the seeds.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from mfv.activations.values import as_codes
from mfv.data import FolderImages, Preprocess
from mfv.models.torchvision import torchvision_model

ROOT = Path(__file__).resolve().parents[1]


def folder_codes(root: Path) -> tuple[np.ndarray, list[str]]:
    """Return MobileNetV2's codes (n, 1280) of a folder's images, and the folder of each."""
    model = torchvision_model("mobilenet_v2")
    source = FolderImages(root)
    preprocess = Preprocess(model.input_size, model.resize)
    codes = []
    with torch.inference_mode():
        for begin in range(0, len(source), 32):
            rows = range(begin, min(begin + 32, len(source)))
            pixels = torch.stack([preprocess(source.load(row)) for row in rows])
            codes.append(as_codes(model.activations(pixels, [model.code_layer])[model.code_layer]).numpy())
    return np.concatenate(codes), [str(Path(name).parent) for name in source.ids]


def agreement(method: object, codes: np.ndarray, kinds: list[str], seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the adjusted Rand index and the normalized mutual information for each seed."""
    found = [method(codes, len(set(kinds)), seed).assignment for seed in range(seeds)]  # type: ignore[operator]
    rand = [adjusted_rand_score(kinds, assignment) for assignment in found]
    information = [normalized_mutual_info_score(kinds, assignment) for assignment in found]
    return np.array(rand), np.array(information)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--data", type=Path, default=ROOT / ".." / "shared" / "data" / "movie-theater")
    parser.add_argument("--seeds", type=int, default=10)
    arguments = parser.parse_args()
    codes, kinds = folder_codes(arguments.data.resolve())
    print(f"{len(codes)} images of {len(set(kinds))} known kinds, mean ± deviation over {arguments.seeds} seeds")
    for path in sorted((ROOT / "conf" / "discovery").glob("*.yaml")):
        rand, information = agreement(instantiate(OmegaConf.load(path)), codes, kinds, arguments.seeds)
        print(
            f"{path.stem:12s} ARI {rand.mean():.3f} ± {rand.std():.3f}   "
            f"NMI {information.mean():.3f} ± {information.std():.3f}"
        )


if __name__ == "__main__":
    main()
