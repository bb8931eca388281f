"""Collecting against decoding alone, the forward pass alone and the usual loop with a hook, on the same images."""

from __future__ import annotations

import copy
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from benchmarks.bench import Bench, Row, timed, wait
from mfv.activations.collector import Wanted, collect_layers
from mfv.data.folder import FolderImages
from mfv.data.loading import Images
from mfv.data.photos import PhotoCrops
from mfv.data.source import ImageSource
from mfv.data.transforms import Preprocess
from mfv.machine import Machine
from mfv.models.layout import lay_out
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel


def extraction(bench: Bench) -> list[Row]:
    """Time collecting, decoding alone, the forward pass alone and the usual loop with a hook, on the same images."""
    preprocess = Preprocess(bench.model.input_size, bench.model.resize)
    count = min(len(bench.source), 1000)
    source = First(bench.source, count)
    device = Machine().device  # where collecting computes
    prepared = prepare(bench.model, keep=[bench.layer], gradients=False).to(device)
    lay_out(prepared)
    rendering = prepare(bench.model, keep=[bench.layer]).to(device)
    lay_out(rendering)
    given = copy.deepcopy(bench.model).to(device)
    batch = bench.pixels(32).to(device).contiguous(memory_format=torch.channels_last)
    images = Images(source, preprocess)
    batches = [range(begin, min(begin + 32, count)) for begin in range(0, count, 32)]

    def forward(model: TargetModel = prepared) -> None:
        with torch.inference_mode():
            for begin in range(0, count, 32):
                model.activations(batch[: min(32, count - begin)], [bench.layer])
        wait(device)

    def whole() -> None:
        with torch.inference_mode():
            for begin in range(0, count, 32):
                given(batch[: min(32, count - begin)])
        wait(device)

    def decode() -> None:
        for numbers in batches:
            images.batch(numbers)

    def hooked() -> None:
        kept: list[Tensor] = []
        network = given.network
        handle = network.get_submodule(bench.layer).register_forward_hook(lambda _m, _i, out: kept.append(out.clone()))
        with torch.no_grad():
            for pixels in DataLoader(Pixels(images), batch_size=32):
                network(given.normalize(pixels.to(device)))
        handle.remove()

    def collecting(*layers: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            collect_layers(bench.model, [Wanted(layer) for layer in layers], source, folder, progress=False)

    layers = blocks(bench.model.network)
    convolutions = [name for name, part in bench.model.network.named_modules() if isinstance(part, nn.Conv2d)]

    actions = {
        "collect": lambda: collecting(bench.layer),
        f"collect, {len(layers)} layers in one pass": lambda: collecting(*layers),
        "collect, one convolution": lambda: collecting(convolutions[-1]),
        f"collect, all {len(convolutions)} convolutions in one or two passes": lambda: collecting(*convolutions),
        "decoding": decode,
        "forward pass, prepared": forward,
        "forward pass, prepared as for gradients": lambda: forward(rendering),
        "forward pass of the network as it is given": whole,
        "plain loop with a hook": hooked,
    }
    forward()
    turns = [{name: timed(action) for name, action in actions.items()} for _ in range(max(3, bench.rounds // 2))]
    rows = [large_jpeg(preprocess, bench.rounds)]
    for bare in [name for name in actions if name.startswith("forward pass")]:
        rate = statistics.median(max(turn["decoding"], turn[bare]) / turn["collect"] for turn in turns)
        rows.append(Row("extract", "collect, rate", rate, f"slower of decoding and {bare}"))
    for name in actions:
        rate = count / statistics.median(turn[name] for turn in turns)
        rows.append(
            Row("extract", name, statistics.median(t["collect"] / t[name] for t in turns), "collect", rate, "images/s")
        )
    return rows


def large_jpeg(preprocess: Preprocess, rounds: int) -> Row:
    """Time a JPEG of 12 megapixels, decoded and scaled for the network, against the same decoded whole."""
    with tempfile.TemporaryDirectory() as folder:
        photo = PhotoCrops(scales=[1.0], photos=["coffee"]).load(0).resize((4000, 3000))
        photo.save(Path(folder) / "photo.jpg", quality=92)
        source = FolderImages(folder)
        decoding: dict[str, Callable[[], Any]] = {
            "at a part of its size": lambda: preprocess.bytes(source.load_for(0, preprocess.resize)),
            "whole": lambda: preprocess.bytes(source.load(0)),
        }
        turns = [{name: timed(action) for name, action in decoding.items()} for _ in range(rounds)]
    part, whole = decoding
    ratio = statistics.median(turn[part] / turn[whole] for turn in turns)
    milliseconds = 1e3 * statistics.median(turn[part] for turn in turns)
    return Row("extract", f"a JPEG of 12 megapixels {part}", ratio, whole, milliseconds, "ms")


def blocks(network: nn.Module, most: int = 8) -> list[str]:
    """Return the names of the deepest modules of a network's first sequence, such as `features.18`."""
    name, sequence = next((name, part) for name, part in network.named_children() if isinstance(part, nn.Sequential))
    return [f"{name}.{child}" for child in sequence._modules][-most:]


class First(ImageSource):
    """The first images of a source."""

    def __init__(self, source: ImageSource, count: int):
        super().__init__(source.name, source.ids[:count], source.labels[:count], max_bad_share=source.max_bad_share)
        self.source, self.concurrent = source, source.concurrent

    @property
    def fingerprint(self) -> None:
        """None: nothing is stored for another time."""

    def load(self, index: int) -> Any:
        """Return an image."""
        return self.source.load(index)

    def load_for(self, index: int, side: int) -> Any:
        """Return an image to be scaled."""
        return self.source.load_for(index, side)


class Pixels(torch.utils.data.Dataset):
    """The pixels of prepared images alone."""

    def __init__(self, images: Images):
        self.images = images

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index][1]  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.images)
