"""The network under study, with what is needed to speak of its layers, units and pixels."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self, TypeGuard

import torch
from torch import Tensor, nn

from mfv.activations.hooks import NotATensor, capture, first_tensor
from mfv.errors import MfvError, check_count
from mfv.models.frozen import frozen_copy
from mfv.models.labels import in_order
from mfv.models.naming import INPUT_SUFFIX, OUTPUT, PROB, no_layer

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
NONLINEARITIES = (
    nn.ReLU,
    nn.ReLU6,
    nn.LeakyReLU,
    nn.ELU,
    nn.GELU,
    nn.SiLU,
    nn.Hardswish,
    nn.Mish,
    nn.Softplus,
    nn.Sigmoid,
    nn.Tanh,
)


class TargetModel(nn.Module):
    """A frozen copy of a classifier, with its layers' names, its pixel statistics and its labels.

    The copy is in evaluation mode, without gradients on its weights and without in-place activations
    (so that a layer's recorded output is what it gave). The network passed in is not touched.

    Args:
        network: any module that maps normalized images (n, 3, H, W) to its output.
        name: what results call it.
        input_size: height and width of its input, in pixels.
        resize: the short side that photographs are scaled to before the centre of `input_size` is cut out.
        mean: per channel, in [0, 1] RGB, subtracted from the pixels.
        std: per channel, in [0, 1] RGB, divides them.
        channel_order: "rgb", or "bgr" for networks from Caffe.
        labels: the class names, in the order of the output; or a mapping of the classes' numbers to them.
        synsets: the classes' WordNet ids ("n03032252"), in the same order.
        aliases: other names for layers, for example {"fc8": "classifier.6"}.
        code_layer: the layer whose activation is an image's code; by default what the last linear
            (or else convolutional) layer is given.
        anchor_layer: a layer in the middle whose mean activation also describes an image's kind; by
            default the convolution (or else linear layer) two thirds of the way down.
        default_layer: the layer of interest where the user names none; by default the last linear one.
        default_unit: the unit of interest where the user names none: an index, a label or a synset.

    Attributes:
        memory_format: of its weights, and of the pixels that it is best shown.

    Raises:
        MfvError: a setting or a layer's name is wrong, or the network cannot be copied.

    """

    mean: Tensor
    std: Tensor
    memory_format: torch.memory_format = torch.channels_last

    def __init__(
        self,
        network: nn.Module,
        *,
        name: str = "custom",
        input_size: int = 224,
        resize: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        channel_order: str = "rgb",
        labels: Sequence[str] | Mapping[int, str] | None = None,
        synsets: Sequence[str] | None = None,
        aliases: Mapping[str, str] | None = None,
        code_layer: str | None = None,
        anchor_layer: str | None = None,
        default_layer: str | None = None,
        default_unit: int | str = 0,
    ):
        super().__init__()
        if channel_order not in ("rgb", "bgr"):
            raise MfvError(f"channel_order is {channel_order!r}; it is 'rgb' or 'bgr'")
        if not isinstance(network, nn.Module):
            raise MfvError(
                f"the network is {network!r}; give an nn.Module, as torchvision.models.resnet18(weights='DEFAULT')"
            )
        check_count("input_size", input_size, 1, "pixels, the side of what the network is shown")
        means, stds = (_per_channel(name, setting, values) for setting, values in (("mean", mean), ("std", std)))
        if not all(value > 0 for value in stds):
            raise MfvError(f"std of model {name} is {_listed(stds)}; pixels are divided by it, so each is above 0")
        if not all(0 <= value <= 1 for value in means) or not all(value <= 1 for value in stds):
            raise MfvError(
                f"mean and std of model {name} are {_listed(means)} and {_listed(stds)}; they are of pixels in [0, 1]: "
                "divide those of pixels in 0–255 by 255"
            )
        self.network = frozen_copy(network)
        self.name = name
        self.input_size = input_size
        self.resize = resize or input_size
        self.channel_order = channel_order
        self.labels = in_order(labels)
        self.synsets = in_order(synsets, "synsets")
        self.aliases = dict(aliases or {})
        self.register_buffer("mean", torch.tensor(means, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(stds, dtype=torch.float32).view(1, -1, 1, 1))
        self.code_layer = self._default_code_layer() if code_layer is None else self.canonical(code_layer)
        self.anchor_layer = self._default_anchor_layer() if anchor_layer is None else self.canonical(anchor_layer)
        self.default_layer = self.last_linear() if default_layer is None else self.canonical(default_layer)
        self.default_unit = default_unit
        self.eval()

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever the module that holds it is told."""
        return super().train(False)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 3, H, W) in [0, 1] RGB to what the network takes."""
        mean, std = (_laid_out(values, pixels) for values in (self.mean, self.std))
        normalized = (pixels - mean).div_(std)
        return normalized.flip(1) if self.channel_order == "bgr" else normalized

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the network's output for pixels (n, 3, H, W) in [0, 1]; `MfvError` where that is no tensor."""
        return self._tensor(OUTPUT, self.network(self.normalize(pixels)))

    def activations(self, pixels: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return what the layers give for pixels in [0, 1]; the pass ends at the deepest of them.

        The name "" stands for the network's output, "prob" for its softmax, "name:in" for what a layer
        is given. Feature maps are (n, C, H, W), also those of networks that put channels last: they are
        permuted, where the pixels are square (so that the map's equal sides tell which axis is which).
        """
        names = {layer: self.canonical(layer) for layer in layers}
        modules = {layer: self.module(layer) for layer, name in names.items() if name not in (OUTPUT, PROB)}
        with capture(modules, stop_early=len(modules) == len(names)) as recorder:
            try:
                output = recorder.run(self.network, self.normalize(pixels))
            except NotATensor as error:
                raise MfvError(f"{self.name}: {error}; choose another") from None
            tensors = {name: given.to_dense() if given.is_mkldnn else given for name, given in recorder.tensors.items()}
        for layer, name in names.items():
            if name in (OUTPUT, PROB):
                tensors[layer] = self.layer_of_output(layer, self._tensor(layer, output))
            elif layer not in tensors:
                raise MfvError(f"layer {layer!r} of {self.name} takes no part in its forward pass: choose another")
            if tensors[layer].shape[:1] != pixels.shape[:1]:
                raise MfvError(
                    f"layer {layer!r} of {self.name} gives {tuple(tensors[layer].shape)} for {len(pixels)} images, as "
                    "where attention looks at windows of them: choose one that gives a row for each, such as the block "
                    "around it"
                )
        return {layer: channels_first(tensors[layer]) if square(pixels) else tensors[layer] for layer in names}

    def _tensor(self, layer: str, given: Any) -> Tensor:
        try:
            return first_tensor(layer, given)
        except NotATensor as error:
            raise MfvError(f"{self.name}: {error}; choose another") from None

    def layer_of_output(self, layer: str, output: Tensor) -> Tensor:
        """Return the layer "" or "prob" of the network's output: that itself, or its softmax."""
        return self._probabilities(output) if self.canonical(layer) == PROB else output

    def layers(self) -> dict[str, str]:
        """Return every layer's name with the type of its module, in the network's order."""
        return {name: type(module).__name__ for name, module in self.network.named_modules() if name}

    def canonical(self, layer: str) -> str:
        """Return a layer's own name for its name or alias; unknown names get the nearest known ones."""
        base = layer.removesuffix(INPUT_SUFFIX)
        suffix = layer[len(base) :]
        base = self.aliases.get(base, base)
        if base and has_submodule(self.network, base):  # at every pass: no list of all names is made for it
            return base + suffix
        if base in (OUTPUT, PROB) and not suffix:
            return base
        raise no_layer(self.name, layer, self.aliases, self.layers())

    def module(self, layer: str) -> nn.Module:
        """Return the module behind a layer's name."""
        name = self.canonical(layer)
        if name == PROB:
            raise MfvError(f"no module stands for layer {PROB!r} of {self.name}: it is the softmax of the output")
        return self.network.get_submodule(name.removesuffix(INPUT_SUFFIX))

    def before_activation(self, layer: str) -> str:
        """Return the layer that gives a layer's values before its nonlinearity, where the network has one.

        A block that ends in a nonlinearity stands for what goes into that; so does the nonlinearity itself.
        Rectified values are flat where the unit is silent (or, with ReLU6, at its limit): no gradient
        comes out of them. A nonlinearity that is not a module, as at the end of a ResNet's block, stays.
        """
        layer = self.canonical(layer)
        if layer in (OUTPUT, PROB) or layer.endswith(INPUT_SUFFIX):
            return layer
        module = self.network.get_submodule(layer)
        parent, _, name = layer.rpartition(".")
        if is_sequence(module) and len(module) > 1:
            children = list(module._modules)
            if isinstance(module[-1], NONLINEARITIES):
                return self.before_activation(f"{layer}.{children[-2]}")
        elif isinstance(module, NONLINEARITIES):
            siblings = self.network.get_submodule(parent)
            if is_sequence(siblings):
                names = list(siblings._modules)
                if names.index(name):
                    before = names[names.index(name) - 1]
                    return self.before_activation(f"{parent}.{before}" if parent else before)
        return layer

    def is_output(self, layer: str) -> bool:
        """Say whether a layer's units are the classes.

        They are for the network's output (n, classes), its softmax, the last linear layer where it gives that output,
        or the last convolution where that is pooled into it, and a sequence ending in that.
        """
        layer = self.canonical(layer)
        if layer == PROB:
            return True
        if layer == OUTPUT:
            return self._gives_scores
        if layer.endswith(INPUT_SUFFIX) or self._class_layer is None:
            return False
        module = self.module(layer)
        while is_sequence(module) and len(module):
            module = module[-1]
        return module is self.network.get_submodule(self._class_layer)

    @property
    def _class_layer(self) -> str | None:
        """The layer whose units are the classes; None where the network ends otherwise, as without its head."""
        return self._ending[1]

    @property
    def _gives_scores(self) -> bool:
        """Whether the output is one number per class (n, classes), of two classes at least."""
        return self._ending[0]

    @cached_property
    def _ending(self) -> tuple[bool, str | None]:
        """What the network's end is like, which one pass of noise shows."""
        last, side = self.last_linear(), self.input_size
        noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(self.mean)
        try:
            with torch.no_grad():
                found = self.activations(noise, list(dict.fromkeys([last, OUTPUT])))
        except Exception:  # as with another size of input; whoever needs a pass will say so
            return True, last or None
        output, given = found[OUTPUT], found[last]
        scores = output.ndim == 2 and output.shape[1] > 1  # a single one has nothing to be told from
        if not scores or not last:
            return scores, None
        if isinstance(self.network.get_submodule(last), nn.Linear):
            return True, last if given.shape == output.shape else None
        pooled = [some.mean((2, 3)) for some in (given, given.relu())] if given.ndim == 4 else [given]
        alike = (some.shape == output.shape and torch.allclose(some, output, rtol=1e-3, atol=1e-5) for some in pooled)
        return True, last if any(alike) else None

    def _probabilities(self, output: Tensor) -> Tensor:
        if output.ndim != 2:
            raise MfvError(
                f"layer {PROB!r} needs class scores (n, classes), and {self.name} gives "
                f"{tuple(output.shape)}: choose another layer"
            )
        return output.softmax(1)

    def last_linear(self) -> str:
        """Return the name of the last linear layer, or else convolution; "" where there is neither."""
        kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)
        for kind in kinds:
            names = [name for name, module in self.network.named_modules() if isinstance(module, kind)]
            if names:
                return names[-1]
        return OUTPUT

    def _default_code_layer(self) -> str:
        layer = self.last_linear()
        return layer + INPUT_SUFFIX if layer else OUTPUT

    def _called(self, layers: Sequence[str]) -> list[str]:
        """Return those of some layers that a pass calls and that give a row for each image.

        All where the network cannot be run at this size.
        """
        pixels = self.normalize(torch.zeros(2, 3, self.input_size, self.input_size, device=self.mean.device))
        pixels = pixels.to(next(self.network.parameters(), pixels).device)  # a network on a GPU is here before its mean
        with capture({layer: self.network.get_submodule(layer) for layer in layers}, stop_early=False) as recorder:
            try:
                with torch.no_grad():
                    recorder.run(self.network, pixels)
            except Exception:  # whoever needs a pass will say so
                return list(layers)
            called = recorder.tensors
            return [layer for layer in layers if layer in called and len(called[layer]) == len(pixels)]

    def _default_anchor_layer(self) -> str:
        modules = dict(self.network.named_modules())
        layers = [name for name, module in modules.items() if isinstance(module, nn.Conv2d)]
        if len(layers) < 3:  # a transformer; some of attention's own projections are never called as modules
            layers = self._called([name for name, module in modules.items() if type(module) in (nn.Conv2d, nn.Linear)])
        return layers[2 * len(layers) // 3] if layers else self.code_layer


def _per_channel(name: str, setting: str, values: Any) -> list[float]:
    """Return a pixel statistic as three numbers; of tensors and arrays, too."""
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) != 3:
        raise MfvError(f"{setting} of model {name} is {values!r}; it has one number per channel, 3")
    return numbers


def _listed(numbers: Sequence[float]) -> str:
    return f"[{', '.join(f'{number:g}' for number in numbers)}]"


def has_submodule(network: nn.Module, name: str) -> bool:
    """Say whether a network has a module of this name."""
    module: nn.Module | None = network
    for part in name.split("."):
        module = None if module is None else module._modules.get(part)
    return module is not None


def _laid_out(values: Tensor, pixels: Tensor) -> Tensor:
    """Return a number per channel (1, 3, 1, 1) so that it goes with the pixels (n, 3, H, W) without leaps in memory.

    On a CPU, channels last, it becomes an image of its own: a third of the time, the same numbers.
    """
    if pixels.device.type != "cpu" or not pixels.is_contiguous(memory_format=torch.channels_last):
        return values
    return values.expand(1, *pixels.shape[1:]).contiguous(memory_format=torch.channels_last)


def square(pixels: Tensor) -> bool:
    """Say whether images (n, 3, H, W) are as high as wide, so that a map's equal sides tell where its channels are."""
    return pixels.shape[-1] == pixels.shape[-2]


def channels_first(activation: Tensor) -> Tensor:
    """Return a square feature map (n, H, W, C) as (n, C, H, W), and anything else as it is.

    Where H = W = C it cannot be told which is which: the map is taken to be channels-first.
    """
    if activation.ndim == 4 and activation.shape[1] == activation.shape[2] != activation.shape[3]:
        return activation.permute(0, 3, 1, 2)
    return activation


def is_sequence(module: nn.Module) -> TypeGuard[nn.Sequential]:
    """Say whether a module is its parts one behind the other: a class of one's own may do something else."""
    return isinstance(module, nn.Sequential) and type(module).forward is nn.Sequential.forward
