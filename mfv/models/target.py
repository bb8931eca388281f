"""The network under study, with what is needed to speak of its layers, units and pixels."""

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from mfv.activations.hooks import INPUT_SUFFIX, capture
from mfv.errors import MfvError, nearest_names

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
OUTPUT = ""  # the network as a whole, as a layer: its output


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
        labels: the class names, in the order of the output.
        synsets: the classes' WordNet ids ("n03032252"), in the same order.
        aliases: other names for layers, for example {"fc8": "classifier.6"}.
        code_layer: the layer whose activation is an image's code; by default what the last linear
            (or else convolutional) layer is given.
        anchor_layer: a layer in the middle whose mean activation also describes an image's kind; by
            default the module two thirds of the way down.

    """

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
        labels: Sequence[str] | None = None,
        synsets: Sequence[str] | None = None,
        aliases: Mapping[str, str] | None = None,
        code_layer: str | None = None,
        anchor_layer: str | None = None,
    ):
        super().__init__()
        if channel_order not in ("rgb", "bgr"):
            raise MfvError(f"channel_order is {channel_order!r}; it is 'rgb' or 'bgr'")
        self.network = _frozen_copy(network)
        self.name = name
        self.input_size = input_size
        self.resize = resize or input_size
        self.channel_order = channel_order
        self.labels = tuple(labels) if labels else ()
        self.synsets = tuple(synsets) if synsets else ()
        self.aliases = dict(aliases or {})
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))
        self.code_layer = self.canonical(code_layer) if code_layer else self._default_code_layer()
        self.anchor_layer = self.canonical(anchor_layer) if anchor_layer else self._default_anchor_layer()

    def normalize(self, pixels: Tensor) -> Tensor:
        """Map pixels (n, 3, H, W) in [0, 1] RGB to what the network takes."""
        normalized = (pixels - self.mean) / self.std
        return normalized.flip(1) if self.channel_order == "bgr" else normalized

    def forward(self, pixels: Tensor) -> Tensor:
        """Return the network's output for pixels (n, 3, H, W) in [0, 1]."""
        return self.network(self.normalize(pixels))

    def activations(self, pixels: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        """Return what the layers give for pixels in [0, 1]; the pass ends at the deepest of them.

        The name "" stands for the network's output, "name:in" for what a layer is given.
        """
        modules = {layer: self.module(layer) for layer in dict.fromkeys(layers) if layer != OUTPUT}
        with capture(modules, stop_early=OUTPUT not in layers) as recorder:
            output = recorder.run(self.network, self.normalize(pixels))
            missing = [layer for layer in modules if layer not in recorder.tensors]
            if missing:
                raise MfvError(f"layer {missing[0]!r} of {self.name} takes no part in its forward pass: choose another")
            tensors = dict(recorder.tensors)
        if OUTPUT in layers and output is not None:
            tensors[OUTPUT] = output
        return tensors

    def layers(self) -> dict[str, str]:
        """Return every layer's name with the type of its module, in the network's order."""
        return {name: type(module).__name__ for name, module in self.network.named_modules() if name}

    def canonical(self, layer: str) -> str:
        """Return a layer's own name for its name or alias; unknown names get the nearest known ones."""
        base, suffix = (layer[: -len(INPUT_SUFFIX)], INPUT_SUFFIX) if layer.endswith(INPUT_SUFFIX) else (layer, "")
        base = self.aliases.get(base, base)
        if base == OUTPUT and not suffix:
            return OUTPUT
        known = self.layers()
        if base not in known:
            near = nearest_names(base, [*self.aliases, *known])
            hint = f"did you mean {', '.join(near)}?" if near else ""
            raise MfvError(
                f"{self.name} has no layer {layer!r}; {hint} "
                f"(python scripts/list_layers.py model={self.name} lists its {len(known)} layers)"
            )
        return base + suffix

    def module(self, layer: str) -> nn.Module:
        """Return the module behind a layer's name."""
        return self.network.get_submodule(self.canonical(layer).removesuffix(INPUT_SUFFIX))

    def is_output(self, layer: str) -> bool:
        """Say whether a layer's units are the classes: it is the network's output or its last linear layer."""
        layer = self.canonical(layer)
        return layer in (OUTPUT, self._last_linear())

    def _last_linear(self) -> str:
        kinds: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv2d)
        for kind in kinds:
            names = [name for name, module in self.network.named_modules() if isinstance(module, kind)]
            if names:
                return names[-1]
        return OUTPUT

    def _default_code_layer(self) -> str:
        layer = self._last_linear()
        return layer + INPUT_SUFFIX if layer else OUTPUT

    def _default_anchor_layer(self) -> str:
        convolutions = [name for name, module in self.network.named_modules() if isinstance(module, nn.Conv2d)]
        return convolutions[2 * len(convolutions) // 3] if convolutions else self.code_layer


def _frozen_copy(network: nn.Module) -> nn.Module:
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False
        for hooks in (module._forward_hooks, module._forward_pre_hooks, module._backward_hooks):
            hooks.clear()
    return network
