"""What rendering leaves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

from mfv.errors import MfvError
from mfv.replacing import replacing


@dataclass(frozen=True)
class Rendering:
    """The images of all facets, and how they came about.

    Attributes:
        images: (k, 3, H, W) float32 in [0, 1].
        curves: (steps, k), the unit's value at each step.
        snapshots: by the number of steps done, (k, 3, h, w) uint8.

    """

    images: Tensor
    curves: Tensor
    snapshots: Mapping[int, Tensor] = field(default_factory=dict)

    def split(self, sizes: Sequence[int]) -> list[Rendering]:
        """Return the same as several renderings, of so many facets each."""
        images, curves = self.images.split(list(sizes)), self.curves.split(list(sizes), 1)
        snapshots = {step: whole.split(list(sizes)) for step, whole in self.snapshots.items()}
        return [
            Rendering(images[part], curves[part], {step: parts[part] for step, parts in snapshots.items()})
            for part in range(len(sizes))
        ]

    def save(self, path: Path) -> None:
        """Write a safetensors file, in one move."""
        tensors = {"images": self.images.contiguous(), "curves": self.curves.contiguous()}
        tensors |= {f"snapshot_{step:06d}": images.contiguous() for step, images in self.snapshots.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            save_file(tensors, part)

    @classmethod
    def load(cls, path: Path) -> Rendering:
        """Read what `save` wrote."""
        tensors = load_file(path)
        snapshots = {
            int(name.removeprefix("snapshot_")): images
            for name, images in tensors.items()
            if name.startswith("snapshot_")
        }
        return cls(tensors["images"], tensors["curves"], dict(sorted(snapshots.items())))


class NotFinite(MfvError):
    """Images that are no numbers; `renderings` holds each unit's, the good ones among them."""

    def __init__(self, message: str, renderings: Sequence[Rendering]):
        super().__init__(message)
        self.renderings = list(renderings)


def check_numbers(renderings: Sequence[Rendering]) -> None:
    """Raise `NotFinite` for images that are no numbers, with the first step in which a value was none."""
    for rendering in renderings:
        if words := not_numbers(rendering):
            raise NotFinite(words, renderings)


def not_numbers(rendering: Rendering) -> str:
    """Return what is wrong with images that are no numbers; of others an empty text."""
    bad = [number for number, image in enumerate(rendering.images) if not image.isfinite().all()]
    if not bad:
        return ""
    steps = (~rendering.curves[:, bad].isfinite()).any(1).nonzero()
    since = f" since step {int(steps[0])} of {len(rendering.curves)}" if len(steps) else ""
    return (
        f"the images of facets {', '.join(map(str, bad))} are NaN or infinite{since}: the network, an objective or "
        "a regularizer gives that; look at the parts that you added, or try a smaller step (render.step)"
    )


class RenderingStopped(KeyboardInterrupt):
    """The user stopped a rendering; `renderings` holds each unit's images after `step` of `steps` steps."""

    def __init__(self, renderings: Sequence[Rendering], step: int, steps: int):
        super().__init__(f"stopped at step {step} of {steps}")
        self.renderings, self.step, self.steps = list(renderings), step, steps
