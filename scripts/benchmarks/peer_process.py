"""Paint with another program on request: what `Peer` in programs.py starts, run in an environment of those programs.

Reads one JSON object a line, {"steps": 64, "seed": 0, "file": "pictures.pt" or null}, paints so many
images of one class as that program's documentation has it, and answers {"seconds": …}.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn

Paint = Callable[[int], Tensor]  # steps → images (n, 3, S, S) in [0, 1]


def lucent(network: nn.Module, unit: int, count: int, size: int) -> Paint:
    """Return torch-lucent's renderer: Fourier images, Adam, its standard transforms."""
    from lucent.optvis import objectives, param, render

    def paint(steps: int) -> Tensor:
        images = render.render_vis(
            network,
            objectives.channel("classifier_1", unit),
            lambda: param.image(size, batch=count),
            thresholds=(steps,),
            progress=False,
            show_image=False,
        )
        return torch.tensor(images[-1]).permute(0, 3, 1, 2)

    return paint


def dreamlens(network: nn.Module, unit: int, count: int, size: int) -> Paint:
    """Return dreamlens' batched renderer of classes with its own settings."""
    from dreamlens import FeatureVisualizer, RenderConfig

    visualizer = FeatureVisualizer(network, normalize=True, device="cpu")

    def paint(steps: int) -> Tensor:
        config = RenderConfig(width=size, height=size, steps=steps)
        result = visualizer.maximize_classes([unit] * count, layer="classifier.1", config=config)
        return result.image()

    return paint


def torch_dreams(network: nn.Module, unit: int, count: int, size: int) -> Paint:
    """Return torch-dreams' renderer of a batch with its own settings."""
    from torch_dreams import Dreamer
    from torch_dreams.batched_image_param import BatchedAutoImageParam
    from torch_dreams.batched_objective import BatchedObjective

    dreamer = Dreamer(network, quiet=True, device="cpu")
    objective = BatchedObjective([lambda layers: -layers[0][:, unit].mean()] * count)

    def paint(steps: int) -> Tensor:
        batch = BatchedAutoImageParam(batch_size=count, height=size, width=size, device="cpu")
        done = dreamer.render(
            [network.get_submodule("classifier.1")], image_parameter=batch, iters=steps, custom_func=objective
        )
        return torch.stack([image.to_chw_tensor() for image in done])

    return paint


PROGRAMS = {"torch-lucent": lucent, "dreamlens": dreamlens, "torch-dreams": torch_dreams}


def main() -> None:
    """Answer requests until there are no more."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--weights", required=True, help="a state dict of torchvision's mobilenet_v2")
    parser.add_argument("--unit", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--size", type=int, required=True)
    options = parser.parse_args()
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a program prints is not an answer
    network = torchvision.models.mobilenet_v2(weights=None)
    network.load_state_dict(torch.load(options.weights, weights_only=True))
    paint = PROGRAMS[options.program](network.eval(), options.unit, options.count, options.size)
    for line in sys.stdin:
        request = json.loads(line)
        torch.manual_seed(request["seed"])
        begun = time.perf_counter()
        images = paint(request["steps"])
        seconds = time.perf_counter() - begun
        if request["file"]:
            torch.save(images.detach().float().clamp(0, 1).clone(), request["file"])
        print(json.dumps({"seconds": seconds}), file=answers)


if __name__ == "__main__":
    main()
