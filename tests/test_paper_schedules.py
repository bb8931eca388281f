"""The paper's schedules against a literal transcription of its tables, step by step, in NumPy."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.objectives import UnitActivation
from mfv.objectives.base import Objective
from mfv.regularizers import CenterMask, TVBregman
from mfv.regularizers.tv_bregman_solver import split_bregman
from mfv.rendering import ActivationMaximizer, Recipe, UnitPart, UnitSubject, paper_recipe
from mfv.schedules import value_at

CONF = Path(__file__).resolve().parents[1] / "conf" / "render"

# PAPER.md, part 2, as it stands there:
# objective, canvas, iterations, first step, last step, first TV weight, last TV weight, window, margin
TABLES = {
    "center_bias": [
        ("prob", 227, 190, 11, 11, 0.001, 0.05, None, 0),
        ("prob", 272, 150, 6, 6, 0.01, 0.08, 0.3, 0),
        ("fc8", 326, 150, 1, 1, 0.01, 2, 0.3, 0),
        ("fc8", 326, 30, 3, 3, 0.1, 2, 0.1, 50),
        ("fc8", 326, 10, 6, 3, 0.01, 2, 0.3, 0),
    ],
    "mean_image": [
        ("fc8", 227, 190, 1, 2, 0.4, 0.4, None, 0),
        ("fc8", 272, 150, 1, 1, 0.01, 2, 0.3, 0),
        ("fc8", 272, 20, 2, 2, 0.1, 2, 0.2, 50),
        ("fc8", 272, 10, 2, 2, 0.4, 2, 0.3, 0),
    ],
}


def recipe(name: str, scheme: str) -> Recipe:
    config = OmegaConf.load(CONF / f"{name}.yaml")
    config.scheme = scheme
    return instantiate(config, _convert_="all")


@pytest.mark.parametrize("name", TABLES)
def test_reference_numbers_at_every_step(name: str) -> None:
    octaves = recipe(name, "reference").octaves
    assert sum(row[2] for row in TABLES[name]) == sum(octave.iterations for octave in octaves)
    for octave, row in zip(octaves, TABLES[name], strict=True):
        objective, canvas, count, step_0, step_1, tv_0, tv_1, window, margin = row
        assert octave.iterations == count
        assert octave.canvas_size(227) == canvas
        assert octave.jitter == window
        assert type(octave.objective).__name__ == ("ClassProbability" if objective == "prob" else "UnitActivation")
        masks = [part for part in octave.regularizers if isinstance(part, CenterMask)]
        assert [round(mask.margin * 227) for mask in masks] == ([margin] if margin else [])
        tv = next(part for part in octave.regularizers if isinstance(part, TVBregman))
        for i in range(count):
            # the slipped weights; whole numbers one apart stay at the first by integer division
            expected_tv = tv_0 * (1 - 1 / count) + tv_1 * i / count
            expected_step = step_0 if (step_0, step_1) == (1, 2) else step_0 + (step_1 - step_0) * i / count
            assert value_at(tv.weight, i, count) == pytest.approx(expected_tv, rel=1e-12)
            assert value_at(octave.step, i, count) == pytest.approx(expected_step, rel=1e-12)


@pytest.mark.parametrize("name", TABLES)
def test_intended_numbers_run_from_first_to_last(name: str) -> None:
    for octave, row in zip(recipe(name, "intended").octaves, TABLES[name], strict=True):
        _, _, count, step_0, step_1, tv_0, tv_1, _, margin = row
        open_share = (1 - 2 * margin / 227) ** 2
        tv = next(part for part in octave.regularizers if isinstance(part, TVBregman))
        for i in (0, count // 2, count - 1):
            t = i / (count - 1)
            assert value_at(tv.weight, i, count) == pytest.approx(tv_0 + (tv_1 - tv_0) * t)
            assert value_at(octave.step, i, count) == pytest.approx((step_0 + (step_1 - step_0) * t) * open_share)


def test_the_slip_that_the_paper_notes() -> None:
    tv = next(part for part in recipe("mean_image", "reference").octaves[0].regularizers if isinstance(part, TVBregman))
    assert value_at(tv.weight, 0, 190) == pytest.approx(0.398, abs=1e-3)
    assert value_at(tv.weight, 189, 190) == pytest.approx(0.796, abs=1e-3)


class Quadratic(nn.Module):
    """A differentiable unit whose gradient NumPy can follow: −Σ weight·(x − goal)² / 2."""

    def __init__(self, size: int):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.register_buffer("weight", torch.rand(3, size, size, generator=generator) + 0.5)
        self.register_buffer("goal", torch.rand(3, size, size, generator=generator))
        self.last = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(-(self.weight * (x - self.goal) ** 2).sum((1, 2, 3))[:, None] / 2)


@pytest.mark.parametrize("scheme", ["reference", "intended"])
def test_a_small_run_follows_a_numpy_transcription(scheme: str) -> None:
    size, steps = 227, 4
    network = Quadratic(size)
    model = TargetModel(network, input_size=size, mean=(0, 0, 0), std=(1, 1, 1), code_layer="last", anchor_layer="last")
    rows = [
        {"objective": "unit", "canvas": 227, "iterations": steps, "step": [1, 2], "tv": [0.4, 0.4]},
        {"objective": "unit", "canvas": 227, "iterations": steps, "step": [6, 3], "tv": [0.1, 2], "margin": 50},
    ]
    table = paper_recipe(rows, scheme)
    start = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(2))
    subject = UnitSubject(model, "last", 0, None, (start * 255).byte(), np.array([0]), np.array([0.0]))
    bound: list[Objective] = [UnitActivation().bind(subject) for _ in table.octaves]
    ours = ActivationMaximizer(model, [UnitPart(table, bound, torch.tensor([0]))], start).run()[0]

    # The authors' loop on 0–255 data, from the tables and the notes of PAPER.md.
    x = start[0].double().numpy() * 255
    weight, goal = network.weight.double().numpy(), network.goal.double().numpy()
    margin = round(50 / 227 * size)
    for step_0, step_1, tv_0, tv_1, masked in ((1, 2, 0.4, 0.4, False), (6, 3, 0.1, 2, True)):
        for i in range(steps):
            g = -weight * (x / 255 - goal)
            if masked:
                mask = np.zeros_like(g)
                mask[:, margin : size - margin, margin : size - margin] = 1
                g = g * mask
            if scheme == "reference":
                step = 1 if (step_0, step_1) == (1, 2) else step_0 + (step_1 - step_0) * i / steps
                tv = tv_0 * (1 - 1 / steps) + tv_1 * i / steps
                mean = np.abs(g).mean()
            else:
                t = i / (steps - 1)
                step, tv = step_0 + (step_1 - step_0) * t, tv_0 + (tv_1 - tv_0) * t
                mean = (
                    np.abs(g)[:, margin : size - margin, margin : size - margin].mean() if masked else np.abs(g).mean()
                )
            x = np.clip(x + step * g / mean, 0, 255)
            # tests/test_tv_bregman.py holds this solver against scikit-image's
            x = split_bregman(torch.from_numpy(x)[None], tv, iterations=100, eps=1e-3)[0].numpy()
            x = np.clip(x, 0, 255)
    difference = np.abs(ours.double().numpy() - x / 255).max()
    print(f"{scheme}: max difference from the NumPy transcription {difference:.1e}")
    assert difference < 1e-4
    assert np.abs(x / 255 - start[0].numpy()).mean() > 0.01


def test_an_unknown_scheme_is_named() -> None:
    with pytest.raises(MfvError, match="scheme is 'exact'"):
        paper_recipe([{"objective": "unit", "canvas": 227, "iterations": 1, "step": [1, 1], "tv": [1, 1]}], "exact")
