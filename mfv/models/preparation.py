"""A copy of the network made ready for work: fewer operations, and each image's bits its own."""

from __future__ import annotations

import copy
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mfv.models.naming import INPUT_SUFFIX, OUTPUT, PROB
from mfv.models.target import TargetModel

ROWS = 8  # of a matrix product
REST = ("drop", "act")  # what timm's batch norm goes on to do
TOLERANCE = 1e-3  # of the output's spread: what folding may change by rounding

logger = logging.getLogger("mfv")


def prepare(model: TargetModel, keep: Iterable[str] = ()) -> TargetModel:
    """Return a copy to work with: the same function, with batch norms folded and linear layers row by row.

    In evaluation mode a batch norm is a scale and a shift per channel, which the convolution before
    it can take over. The convolution then gives what the batch norm gave, so pairs of which a layer in
    `keep` is a part stay as they are. A fold that changes what the network gives is undone.
    """
    kept = {model.canonical(layer).removesuffix(INPUT_SUFFIX) for layer in keep if layer not in (OUTPUT, PROB)}
    folded = copy.deepcopy(model)
    pairs = [pair for pair in foldable(folded.network) if not kept & set(pair)]
    for convolution, norm in pairs:
        fold(folded.network, convolution, norm)
    prepared = folded if not pairs or same_function(model, folded) else copy.deepcopy(model)
    for module in list(prepared.network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, SteadyLinear(child))
    return prepared


def foldable(network: nn.Module) -> list[tuple[str, str]]:
    """Return the names of each convolution that feeds a batch norm and nothing else, with that batch norm's.

    Where the network's forward pass can be traced, wherever they stand; else neighbours in a Sequential.
    """
    modules = dict(network.named_modules())
    try:
        graph = _Tracer().trace(network)
    except Exception as error:  # control flow that depends on the input, and whatever else a forward may do
        logger.debug("%s cannot be traced (%s): only batch norms in a Sequential are folded", type(network), error)
        return [pair for pair in _neighbours(modules) if _fit(modules, *pair)]
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    pairs = []
    for node in graph.nodes:
        source = node.args[0] if node.op == "call_module" and node.args else None
        if not isinstance(source, fx.Node) or source.op != "call_module" or len(source.users) > 1:
            continue
        once = calls[source.target] == calls[node.target] == 1
        if once and _fit(modules, str(source.target), str(node.target)):
            pairs.append((str(source.target), str(node.target)))
    return pairs


def fold(network: nn.Module, convolution: str, norm: str) -> None:
    """Give a convolution its batch norm's scale and shift; in the norm's place stays what else it did."""
    given, scaled = network.get_submodule(norm), network.get_submodule(convolution)
    assert isinstance(scaled, nn.Conv2d)
    assert isinstance(given, nn.BatchNorm2d)
    rest = nn.Identity() if type(given) is nn.BatchNorm2d else nn.Sequential(*map(given.get_submodule, REST))
    for name, module in ((convolution, fuse_conv_bn_eval(scaled, given).requires_grad_(False)), (norm, rest)):
        parent, _, child = name.rpartition(".")
        setattr(network.get_submodule(parent), child, module)


@torch.no_grad()
def same_function(one: TargetModel, other: TargetModel) -> bool:
    """Say whether both networks give the same for noise, up to rounding."""
    size = one.input_size
    generator = torch.Generator("cpu").manual_seed(0)
    pixels = torch.rand(2, 3, size, size, generator=generator, device="cpu").to(one.mean)
    expected, given = one(pixels).double(), other(pixels).double()
    spread = (expected - expected.mean()).abs().mean()
    return bool((given - expected).abs().max() <= TOLERANCE * spread.clamp_min(1e-12))


def _fit(modules: Mapping[str, nn.Module], convolution: str, norm: str) -> bool:
    first, second = modules.get(convolution), modules.get(norm)
    if not isinstance(first, nn.Conv2d) or not isinstance(second, nn.BatchNorm2d) or second.running_mean is None:
        return False
    parts = dict(second.named_children())
    return type(second) is nn.BatchNorm2d or (type(second).__name__ == "BatchNormAct2d" and parts.keys() >= set(REST))


def _neighbours(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, str]]:
    for name, module in modules.items():
        if isinstance(module, nn.Sequential):
            prefix = f"{name}." if name else ""
            yield from ((prefix + first, prefix + second) for first, second in pairwise(module._modules))


class _Tracer(fx.Tracer):
    """A tracer that does not look into convolutions and batch norms, timm's own included."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, nn.Conv2d | nn.BatchNorm2d) or super().is_leaf_module(m, module_qualified_name)


class SteadyLinear(nn.Linear):
    """A linear layer whose result for an image does not depend on how many others there are.

    A matrix product sums in an order that follows from its shape, and optimization with rectifiers
    multiplies the last bit of a difference ten-thousandfold in a step. Here every product has the
    same number of rows; the last one is filled up with zeros.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs·Wᵀ + b for inputs (n, d), or (n, …, d) image by image."""
        if inputs.ndim != 2:
            return torch.stack([super(SteadyLinear, self).forward(image) for image in inputs])
        missing = -len(inputs) % ROWS
        blocks = F.pad(inputs, (0, 0, 0, missing)).split(ROWS)
        return torch.cat([super(SteadyLinear, self).forward(block) for block in blocks])[: len(inputs)]
