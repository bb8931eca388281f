"""Activation maximization: the loop at the heart of the program, in plain PyTorch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mfv.errors import MfvError
from mfv.models.acceleration import Acceleration
from mfv.models.layout import lay_out
from mfv.models.passes import Pass, fastest_pass, repeatable
from mfv.models.preparation import prepare
from mfv.models.target import TargetModel
from mfv.objectives.base import checked
from mfv.regularizers.base import Regularizer
from mfv.rendering.batching import even_slices, images_at_once
from mfv.rendering.octave import Octave, Recipe
from mfv.rendering.parts import Parts, UnitPart, joined_parts
from mfv.rendering.present import Present, acted, check_shape, decoded, penalty_of
from mfv.rendering.randomness import Randomness, facet_generator
from mfv.rendering.window import cut, paste, spread, window_offsets

logger = logging.getLogger("mfv")

ALL = slice(None)
AVERAGE = "average"  # where the memory keeps the mean of the last steps' images


class Steps(Protocol):
    """What the maximizer needs of an optimizer (Lightning's wrapper has it too)."""

    param_groups: list[dict[str, Any]]
    state: Any

    def step(self) -> Any:
        """Move the parameters along their gradients."""
        ...


class ActivationMaximizer(nn.Module):
    """Optimizes a batch of images, each for its own facet, all at once.

    The images are independent: gradients are normalized per image, each image's transforms come
    from its own facet's random numbers, and the network's sums keep one order whatever the batch
    (`mfv.models.preparation`). The model passed in is copied, not changed.

    Args:
        model: the network under study.
        parts: the units whose facets the images stand for, with a recipe, objectives and facets each; the numbers of
            their recipes are the same. With one unit: [UnitPart(recipe, objectives, facets)].
        starts: (n, 3, H, W) in [0, 1], where the images begin, unit by unit (not used where the recipe starts from
            noise or gray).
        seed: of the run.
        input_size: the side of what the network is shown; by default the model's input size.
        acceleration: what may make the network's passes faster.

    Attributes:
        canvas: the parameters of the images (n, …); by default their pixels, (n, 3, H, W) in [0, 1]. The images are
            larger than the network's view in octaves with a scale above 1.
        curves: (steps, n) the objective's unit values so far; NaN for the steps to come.

    """

    curves: Tensor
    facets: Tensor
    numbers: Tensor

    def __init__(
        self,
        model: TargetModel,
        parts: Sequence[UnitPart],
        starts: Tensor,
        seed: int = 0,
        input_size: int | None = None,
        acceleration: Acceleration | None = None,
    ):
        super().__init__()
        for part in parts:
            if len(part.objectives) != len(part.recipe.octaves):
                raise ValueError(f"{len(part.recipe.octaves)} octaves, but {len(part.objectives)} objectives")
        self.parts, self.seed = Parts(joined_parts(parts)), seed
        recipe, facets = self.recipe, self.parts.facets
        octaves = range(len(recipe.octaves))
        self.objectives = nn.ModuleList(
            objective for part in self.parts.parts for octave in octaves for objective in part.valued(octave)
        )
        self.model = prepare(model, keep=[layer for octave in octaves for layer in self.parts.layers(octave)])
        self.input_size = input_size or model.input_size
        self.register_buffer("facets", facets)
        self.register_buffer("numbers", self.parts.numbers)
        self.canvas = nn.Parameter(self._start(starts))
        self.register_buffer("curves", torch.full((recipe.steps, len(facets)), torch.nan))
        self.memory: dict[str, Tensor] = {}
        self.randomness = Randomness(seed, facets, recipe.steps)
        self._at_once: int | None = None  # images in a pass, once they are counted
        self.acceleration = self._possible(acceleration or Acceleration())
        self._passes: dict[tuple[int, tuple[str, ...]], Pass] = {}  # by the batch's size and layers

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ActivationMaximizer:
        """Let what regularizers remember move along to another device, as buffers do."""
        super()._apply(fn, recurse)
        self.memory = {key: fn(memory) for key, memory in self.memory.items()}
        return self

    @property
    def recipe(self) -> Recipe:
        """Octaves, start and optimizer; what is bound to a unit in it is the first one's."""
        return self.parts.recipe

    def step(self, optimizer: Steps, step: int) -> None:
        """Make one step: forward, backward to the parameters, normalize, move, regularize."""
        index, iteration = self.recipe.place(step)
        octave = self.recipe.octaves[index]
        if iteration == 0 and index > 0:
            self._enlarge(self.recipe.octaves[index - 1], octave, optimizer)
        if not len(self.facets):  # a process without images keeps count, and an optimizer's state for the checkpoints
            self.canvas.grad = torch.zeros_like(self.canvas)
            optimizer.step()
            return
        batches = [self._moment(index, iteration, step, rows) for rows in self._batches()]

        with repeatable():
            gradient = joined([self._gradient(index, moment) for moment in batches])
        # Fused optimizers go through gradient and parameter side by side as they lie in memory, whatever their strides.
        self.canvas.grad = gradient.contiguous()
        for group in optimizer.param_groups:
            group["lr"] = self.recipe.step_size(step)
        optimizer.step()
        self.canvas.grad = None
        for moment in batches:
            self._project(moment)
        self._average(step)

    def run(self) -> Tensor:
        """Make all steps and return the images: the loop without Lightning."""
        optimizer = self.recipe.make_optimizer(self.canvas)
        for step in range(self.recipe.steps):
            self.step(optimizer, step)
        return self.result()

    def result(self) -> Tensor:
        """Return the finished images (n, 3, H, W) in [0, 1]: averaged over the last steps where the recipe says so."""
        return self.memory.get(AVERAGE, self.pixels()).clone()

    def pixels(self) -> Tensor:
        """Return the images (n, 3, H, W) in [0, 1]."""
        with torch.no_grad():
            return self._decoded(self.canvas, ALL).detach()

    def _gradient(self, index: int, moment: Present) -> Tensor:
        """Return a batch's gradient with respect to its parameters, as the step follows it."""
        canvas = self.canvas.detach()[moment.rows].requires_grad_(True)
        image = self._decoded(canvas, moment.rows)
        pixels = cut(image.detach(), moment.offsets, moment.size).requires_grad_(True)
        gradient = self._pixel_gradient(pixels, index, moment)
        for number in moment.acting("gradient"):
            before = gradient
            gradient = self._each(moment, number, gradient, lambda part, some, now: acted(part, "gradient", some, now))
            check_shape(moment, number, "gradient", before, gradient)
        if image is canvas:  # pixels: the mean is over those in view
            gradient = normalize(gradient) if moment.octave.normalize else gradient
            return spread(gradient, image, moment.offsets)
        gradient = spread(gradient, image, moment.offsets)
        (gradient,) = torch.autograd.grad(image, canvas, gradient)
        return normalize(gradient) if moment.octave.normalize else gradient

    def _pixel_gradient(self, pixels: Tensor, index: int, moment: Present) -> Tensor:
        shown = pixels
        for number in moment.acting("transform"):
            shown = self._each(moment, number, shown, lambda part, some, now: acted(part, "transform", some, now))
        if shown.shape[-2:] != moment.size:  # transforms may leave more or less of it than they were given
            shown = F.interpolate(shown, moment.size, mode="bilinear", align_corners=False)
        facets, count = moment.numbers, len(pixels)
        if count == 1:  # convolutions of a single image sum in another order: it gets company
            shown, facets = torch.cat([shown, shown.detach()]), facets.repeat(2)
        shown = shown.contiguous(memory_format=self.model.memory_format)
        activations = self._pass(index, shown)(shown)
        progress = moment.step / max(1, self.recipe.steps - 1)
        values, watched = self.parts.values(index, moment.rows, activations, facets, progress)
        for each in (values, watched):
            checked(each, len(shown), "the objective")
        values = values[:count]
        self.curves[moment.step, moment.rows] = watched[:count].detach()
        for number in moment.acting("penalty"):
            values = values - self._each(moment, number, pixels, lambda part, some, now: penalty_of(part, some, now))
        aims = self.parts.layers(index, watched=False)
        if closed := [layer for layer in aims if not activations[layer].requires_grad]:
            names = ", ".join(layer or "output" for layer in closed)
            raise MfvError(
                f"{self.model.name} lets no gradient through from layer {names} to its input: its forward pass "
                "detaches it, or runs inside torch.no_grad(), where nothing can be painted"
            )
        if not values.requires_grad:
            raise MfvError(
                "the objective lets no gradient through to the activations that it is given: it detaches them, leaves "
                "PyTorch, or runs inside torch.no_grad()"
            )
        return torch.autograd.grad(values.sum(), pixels)[0]  # a sum: the images do not weigh one another

    @torch.no_grad()
    def _project(self, moment: Present) -> None:
        projecting = moment.acting("project")
        if self.recipe.parameterization.bounded and not projecting:
            return
        canvas = self.canvas[moment.rows]
        image = self._decoded(canvas, moment.rows)
        # Pixels in place, also those beyond the view, which momentum moves.
        window = cut(image.clamp_(0, 1), moment.offsets, moment.size)
        for number in projecting:
            before = window
            window = self._each(moment, number, window, lambda part, some, now: acted(part, "project", some, now))
            check_shape(moment, number, "project", before, window)
        if image is canvas and window.shape == canvas.shape:  # pixels, all of them in view
            torch.clamp(window, 0, 1, out=canvas)
            return
        canvas.copy_(self._encoded(paste(image, window.clamp(0, 1), moment.offsets), moment.rows))

    def _average(self, step: int) -> None:
        """Take the image into the average of the last steps' images."""
        count = step - (self.recipe.steps - self.recipe.averaged_steps) + 1
        if count == 1:
            self.memory[AVERAGE] = self.pixels().clone()
        elif count > 1:
            self.memory[AVERAGE].lerp_(self.pixels(), 1 / count)

    def _start(self, starts: Tensor) -> Tensor:
        size = self.recipe.octaves[0].canvas_size(self.input_size)
        model_mean = self.model.mean.cpu()
        if self.recipe.start == "gray":
            starts = model_mean.expand(len(self.facets), 3, size, size)
        if self.recipe.start == "noise":
            level, deviation = self.recipe.noise[0], self.recipe.noise[1] or 0.0
            mean = model_mean * 255 if level is None else level
            noise = [
                torch.randn(3, size, size, generator=facet_generator(self.seed, facet, "start"), device="cpu")
                for facet in self.facets.tolist()
            ]
            blank = torch.empty(0, 3, size, size)
            starts = (torch.stack(noise) * deviation + mean) / 255 if noise else blank
        return self._encoded(resized(starts.float(), size).clamp(0, 1).clone(), ALL)

    def _enlarge(self, before: Octave, octave: Octave, optimizer: Steps) -> None:
        """Bring the canvas to an octave's size; momentum and regularizers' memories, of the old size, begin anew."""
        size = octave.canvas_size(self.input_size)
        if size != before.canvas_size(self.input_size):
            image = resized(self.pixels(), size).clamp(0, 1)
            self.canvas.data = self._encoded(image, ALL)
            self.memory.clear()
            optimizer.state.clear()

    # --- what belongs to a unit -------------------------------------------------------------------

    def _decoded(self, canvas: Tensor, rows: slice) -> Tensor:
        return self.parts.each(
            rows, canvas, lambda part: part.recipe.parameterization, lambda own, some, _: decoded(own, some)
        )  # fmt: skip

    def _encoded(self, pixels: Tensor, rows: slice) -> Tensor:
        return self.parts.each(
            rows, pixels, lambda part: part.recipe.parameterization, lambda own, some, _: own.encode(some)
        )  # fmt: skip

    def _each(
        self, moment: Present, number: int, images: Tensor, apply: Callable[[Regularizer, Tensor, Present], Tensor]
    ) -> Tensor:
        """Return what a regularizer makes of the moment's images, where it is bound to units each one's own."""
        return self.parts.each(
            moment.rows,
            images,
            lambda part: part.recipe.octaves[moment.index].regularizers[number],
            lambda own, some, rows: apply(own, some, moment.of(rows).seen_by(number)),
        )

    # --- the network's passes ---------------------------------------------------------------------

    def _possible(self, asked: Acceleration) -> Acceleration:
        """Return what of an acceleration the objectives allow: a compiled or recorded pass gives each layer apart."""
        if not any(getattr(part, "between_layers", False) for part in self.objectives.modules()):
            return asked
        if asked.compile:
            logger.info("compile is left off: the objective follows gradients from one layer to another")
        return replace(asked, compile=False, graph=False)

    def _pass(self, index: int, shown: Tensor) -> Pass:
        layers = tuple(self.parts.layers(index))
        key = len(shown), layers
        if key not in self._passes:
            self._passes[key] = fastest_pass(self.model, layers, shown.detach(), self.acceleration)
        return self._passes[key]

    def _batches(self) -> list[slice]:
        """Return the rows that pass through the network together."""
        if self._at_once is None:
            lay_out(self.model, self.recipe.steps * len(self.facets), self.acceleration.layout)
            octaves = range(len(self.recipe.octaves))
            layers = dict.fromkeys(layer for index in octaves for layer in self.parts.layers(index))
            given, wanted = self.recipe.batch_size, len(self.facets)
            if isinstance(given, str):  # auto
                given = images_at_once(self.model, list(layers), self.input_size, wanted)
            self._at_once = given
        return even_slices(len(self.facets), self._at_once)

    def _moment(self, index: int, iteration: int, step: int, rows: slice = ALL) -> Present:
        octave = self.recipe.octaves[index]
        size = (self.input_size, self.input_size)
        room = octave.canvas_size(self.input_size) - self.input_size
        if room:
            draws = self.randomness.normal("jitter", 2, step, self.canvas.device)[rows]
            offsets = window_offsets(draws, (room, room), octave.jitter)
        else:
            offsets = torch.zeros(len(self.facets[rows]), 2, dtype=torch.long, device=self.canvas.device)
        return Present(self, index, iteration, step, size, offsets, rows)


def normalize(gradient: Tensor) -> Tensor:
    """Divide each image's gradient by its mean absolute value; a zero gradient stays zero (PAPER.md, step 3)."""
    # Sums of lines in double precision, as their order follows from the batch's size.
    lines = gradient.abs().sum(-1).flatten(1)
    scale = (lines.sum(1, dtype=torch.float64) / gradient[0].numel()).to(gradient.dtype)
    return gradient / torch.where(scale > 0, scale, 1).view(-1, *[1] * (gradient.ndim - 1))


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return the parts as one tensor, a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def resized(images: Tensor, size: int) -> Tensor:
    """Return square images (n, 3, size, size), bicubic, antialiased where they shrink."""
    if images.shape[-2:] == (size, size) or not len(images):
        return images if images.shape[-2:] == (size, size) else images.new_empty(0, 3, size, size)
    return F.interpolate(images, (size, size), mode="bicubic", align_corners=False, antialias=images.shape[-1] > size)
