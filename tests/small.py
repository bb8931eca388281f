"""A network of two convolutions and some noise, which the API makes facets of in a second."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import mfv
from mfv.rendering.maximizer import ActivationMaximizer

IMAGES = [np.random.default_rng(k).integers(0, 255, (40, 40, 3), dtype=np.uint8) for k in range(20)]


def network() -> nn.Module:
    """Return the network; the same each time."""
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 8, 5, stride=2), nn.Conv2d(8, 6, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


def visualize(**changes: Any) -> mfv.Facets:
    """Make two facets of a channel, by other arguments where they are given."""
    given = {"network": network(), "layer": "2", "unit": 1, "images": IMAGES, "facets": 2, "input_size": 32}
    return mfv.visualize(**{**given, "recipe": mfv.fast_recipe(2), "progress": False, **changes})


@contextmanager
def watched(interrupt_at: int | None = None) -> Iterator[list[int]]:
    """Give the numbers of the steps that are made, and interrupt behind one of them."""
    step, made = ActivationMaximizer.step, []

    def watching(self: ActivationMaximizer, optimizer: Any, number: int) -> None:
        step(self, optimizer, number)
        made.append(number)
        if number == interrupt_at:
            signal.raise_signal(signal.SIGINT)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ActivationMaximizer, "step", watching)
        yield made
