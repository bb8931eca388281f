"""The store and discovery as they grow: made-up clustered activations, streamed, up to the size of ImageNet.

    python scripts/scale.py                           # 10,000 and 100,000 images
    python scripts/scale.py 10000 100000 1300000      # 8.6 GB of disk, some ten minutes on two cores

Per size: writing the store (1,000 units float32, 1,280 numbers of code float16 an image), reading all of it with its
checksums, the 1,000 images that each unit likes most, streamed PCA to 50, k-means with k = 1,000; seconds and the
peak memory of the process. On the first 20,000 images what is streamed is compared with the exact method on all of
them in memory. Each size in a process of its own. Prints a table; writes scale.md and scale.json.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score

from mfv.activations.store import CODES_IN, ActivationStore, CodeStore
from mfv.activations.top import top_images
from mfv.discovery.partition import kmeans
from mfv.discovery.pca import principal_components
from mfv.discovery.streaming import streamed_components
from mfv.memory import keep_freed_memory, peak_memory

UNITS, WIDTH, KINDS = 1000, 1280, 1000
TOP, COMPONENTS, CLUSTERS = 1000, 50, 1000
COMPARED = 20_000  # images on which the exact methods run
STARTS = 100_000  # points that k-means draws its starts from
ITERATIONS = 25
AT_ONCE = 16  # shards, of which a block of codes is made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each size and write the table."""
    commands = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands.add_argument("sizes", nargs="*", type=int, default=[10_000, 100_000], help="numbers of images")
    commands.add_argument("--out", type=Path, default=Path("outputs/scale"))
    commands.add_argument("--one", type=int, help=argparse.SUPPRESS)  # what the process of a size does
    options = commands.parse_args(arguments)
    if min(options.sizes, default=1) < 1:
        commands.error(f"{min(options.sizes)} is no number of images: give numbers of at least 1")
    if options.one:
        print(json.dumps(measured(options.one, options.out)))
        return 0
    options.out.mkdir(parents=True, exist_ok=True)
    found = []
    for size in options.sizes:
        command = [sys.executable, str(Path(__file__)), "--one", str(size), "--out", str(options.out)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found.append(json.loads(done.stdout.splitlines()[-1]))
        print(table(found), flush=True)
        (options.out / "scale.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
        (options.out / "scale.md").write_text(table(found) + "\n", encoding="utf-8")
    return 0


def measured(images: int, out: Path) -> dict[str, Any]:
    """Return the figures of a store of so many images."""
    keep_freed_memory()
    found: dict[str, Any] = {"images": images}
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as folder:
        CodeStore(Path(folder) / "codes", {"made up": KINDS}, images)
        store = ActivationStore(Path(folder) / "activations", {"made up": KINDS, CODES_IN: "codes"}, images)
        found["generate_s"], found["write_s"] = fill(store)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))
        found["gigabytes"] = size / 1e9
        begun = time.perf_counter()
        assert not store.verify()
        assert not store.code_store.verify()
        found["verify_s"] = time.perf_counter() - begun
        found["write_peak_mb"] = peak_memory()

        begun = time.perf_counter()
        _, rows = top_images(store, TOP)
        found["top_s"], found["top_peak_mb"] = time.perf_counter() - begun, peak_memory()
        found["top_agreement"] = float(np.mean([exact_top(store, unit) == set(rows[unit]) for unit in (0, 500, 999)]))

        begun = time.perf_counter()
        points = streamed_components(lambda: codes_of(store), COMPONENTS)
        found["pca_s"], found["pca_peak_mb"] = time.perf_counter() - begun, peak_memory()

        begun = time.perf_counter()
        result = kmeans(points, min(CLUSTERS, max(1, images // 10)), 0, 1, ITERATIONS, "cpu", STARTS)
        found["kmeans_s"], found["kmeans_peak_mb"] = time.perf_counter() - begun, peak_memory()
        found["kmeans_on"] = result.device
        kinds = np.concatenate([kinds_of(store.rows_of(shard)) for shard in range(store.shards)])
        found["kmeans_ari"] = float(adjusted_rand_score(kinds, result.assignment))

        few = store.codes(np.arange(min(COMPARED, images))).astype(np.float32)
        exact, streamed = principal_components(few, COMPONENTS), streamed_components(lambda: [few], COMPONENTS)
        found["pca_difference"] = float(np.abs(exact - streamed).max() / np.abs(exact).max())
    return found


def fill(store: ActivationStore) -> tuple[float, float]:
    """Write the store; return the seconds of making the numbers up and of writing them."""
    making = writing = 0.0
    for shard in store.missing():
        begun = time.perf_counter()
        rows = store.rows_of(shard)
        generator = np.random.default_rng([1, shard])
        activations = generator.standard_normal((len(rows), UNITS), dtype=np.float32)
        codes = centers()[kinds_of(rows)] + generator.standard_normal((len(rows), WIDTH), dtype=np.float32)
        made = time.perf_counter()
        store.write(shard, torch.from_numpy(activations), None, rows)
        store.code_store.write(shard, torch.from_numpy(codes), rows)
        making, writing = making + made - begun, writing + time.perf_counter() - made
    return making, writing


_centers: list[np.ndarray] = []


def centers() -> np.ndarray:
    """Return the kinds' centres (k, d): in 40 directions, so that 50 components hold them."""
    if not _centers:
        generator = np.random.default_rng(0)
        spread = generator.standard_normal((KINDS, 40)) @ generator.standard_normal((40, WIDTH))
        _centers.append((spread / 4).astype(np.float32))
    return _centers[0]


def kinds_of(rows: range) -> np.ndarray:
    """Return the kind of each image."""
    return np.random.default_rng([2, rows.start]).integers(0, KINDS, len(rows))


def codes_of(store: ActivationStore) -> Iterator[np.ndarray]:
    """Give the codes, some shards at a time."""
    for begin in range(0, store.shards, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, store.shards))
        yield store.codes(range(store.rows_of(numbers[0]).start, store.rows_of(numbers[-1]).stop))


def exact_top(store: ActivationStore, unit: int) -> set[int]:
    """Return the rows of a unit's largest values by sorting all."""
    return set(np.argsort(-store.activations(unit), kind="stable")[:TOP].tolist())


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return a Markdown table, a column per size."""
    lines = {
        "store": "{gigabytes:.2f} GB",
        "writing": "{write_s:.1f} s",
        "writing, images per second": "{rate:,.0f}",
        "reading and checking": "{verify_s:.1f} s",
        "peak memory until then": "{write_peak_mb:,.0f} MB",
        "top 1,000 of 1,000 units": "{top_s:.1f} s",
        "peak memory until then ": "{top_peak_mb:,.0f} MB",
        "share of three units whose top images are those of a sort": "{top_agreement:.2f}",
        "streamed PCA to 50": "{pca_s:.1f} s",
        "peak memory until then  ": "{pca_peak_mb:,.0f} MB",
        "largest difference to PCA in memory, first 20,000 images": "{pca_difference:.1e}",
        "k-means, k = 1,000 (of 10,000 images: a tenth of them), 25 iterations": "{kmeans_s:.1f} s on {kmeans_on}",
        "peak memory until then   ": "{kmeans_peak_mb:,.0f} MB",
        "adjusted Rand index to the 1,000 kinds": "{kmeans_ari:.3f}",
    }
    rows = ["| | " + " | ".join(f"{one['images']:,} images" for one in found) + " |", "|---|" + "---|" * len(found)]
    for name, form in lines.items():
        cells = [form.format(rate=one["images"] / one["write_s"], **one) for one in found]
        rows.append(f"| {name.strip()} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
