"""A copy of the network made ready for work: fewer operations, and each image's bits its own."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mfv.errors import MfvError
from mfv.models.blocks import keep_in_blocks
from mfv.models.fusing import ConvolutionChain, chained, fits, is_choosy
from mfv.models.naming import INPUT_SUFFIX, OUTPUT, PROB
from mfv.models.same_padding import SameConvolution, is_same_depthwise, is_same_first
from mfv.models.target import TargetModel, is_sequence
from mfv.models.tracing import replace, traced

ROWS = 8  # of a matrix product
REST = ("drop", "act")  # what timm's batch norm goes on to do
TOLERANCE = 1e-3  # of the output's spread: what folding may change by rounding


def prepare(
    model: TargetModel, keep: Iterable[str] = (), *, folded: bool = True, gradients: bool = True
) -> TargetModel:
    """Return a copy to work with: the same function, with batch norms folded and linear layers row by row.

    In evaluation mode a batch norm is a scale and a shift per channel, which the convolution before
    it can take over, and convolutions with their rectifiers run as a chain (`ConvolutionChain`). A convolution then
    gives what the batch norm, or the chain's end, gave: where a layer in `keep` would notice, it stays as it is.
    TensorFlow's padding makes no copy (`SameConvolution`). What changes the network's function is undone: it is tried
    on the CPU, as a GPU's convolutions round (TF32) by more than a fold may change.

    Args:
        model: the network; it stays as it is.
        keep: layers that are to give, or be given, what they are in the network.
        folded: whether batch norms are folded.
        gradients: whether it is for gradients too. A copy that is not gives them as well, but those of its passes that
            record none are laid out for themselves where that is faster (`keep_in_blocks`).

    """
    layers = _known(model, keep)
    kept = {layer.removesuffix(INPUT_SUFFIX) for layer in layers}
    device = model.mean.device
    given = model if device.type == "cpu" else copy.deepcopy(model).cpu()
    prepared = copy.deepcopy(given)
    norms = [pair for pair in foldable(prepared.network) if folded and not changes(pair, layers)]
    for before, *_, norm in norms:
        fold(prepared.network, before, norm)
    padded = {
        name: module
        for name, module in prepared.network.named_modules()
        if is_same_depthwise(module) or (is_same_first(module) and not gradients)
    }
    for name, convolution in padded.items():
        replace(prepared.network, name, SameConvolution(convolution))
    pairs = [pair for pair in chainable(prepared.network) if not noticed(pair, kept)]
    chain(prepared.network, pairs)
    in_blocks = not gradients and keep_in_blocks(prepared.network)
    same = not (norms or padded or pairs or in_blocks) or same_function(given, prepared, layers)
    if not same and in_blocks:
        return prepare(model, keep, folded=folded)
    if not same:
        prepared = copy.deepcopy(given)
    for module in [each for each in prepared.network.modules() if not isinstance(each, ConvolutionChain)]:
        for name, child in module.named_children():
            if is_choosy(child):
                setattr(module, name, ConvolutionChain(child))
            if type(child) is nn.Linear:
                setattr(module, name, SteadyLinear(child))
    return prepared.to(device)


def leaves_norms_folded(model: TargetModel, layers: Iterable[str], keep: Iterable[str]) -> list[bool]:
    """Say for each layer whether, kept beside those in `keep`, it leaves as many batch norms folded as they alone do.

    A folded norm rounds otherwise; chains do not. So together with other such layers the network gives, to the bit,
    what it gives for each of them.
    """
    others = _known(model, keep)
    pairs = [pair for pair in foldable(model.network) if not changes(pair, others)]
    return [not any(changes(pair, _known(model, [layer])) for pair in pairs) for layer in layers]


def foldable(network: nn.Module) -> list[tuple[str, ...]]:
    """Return the names of each convolution that feeds a batch norm and nothing else, with that batch norm's."""
    return _pairs(network, _is_norm_of)


def chainable(network: nn.Module) -> list[tuple[str, ...]]:
    """Return the names of convolutions and rectifiers, in either order, of which one feeds only the other."""
    return _pairs(network, fits)


def noticed(pair: tuple[str, ...], kept: Collection[str]) -> bool:
    """Say whether joining two modules changes what a module gives or takes: one of them, or one that holds one only."""
    within = ([is_within(name, layer) for name in pair] for layer in kept)
    return bool(set(kept) & set(pair)) or any(any(inside) and not all(inside) for inside in within)


def changes(pair: tuple[str, ...], layers: Iterable[str]) -> bool:
    """Say whether folding a norm changes what a layer gives ("name"), or is given ("name:in").

    The convolution then gives what the norm gives: all between them is changed, and of what the norm is made of
    nothing is left.
    """
    convolution, *between, norm = pair
    for layer in layers:
        name = layer.removesuffix(INPUT_SUFFIX)
        begins, ends = is_within(convolution, name), is_within(norm, name)
        meets = begins or ends or any(is_within(module, name) for module in between)
        same = begins if layer.endswith(INPUT_SUFFIX) else ends
        if (meets and not same) or (name != norm and is_within(name, norm)):
            return True
    return False


def is_within(module: str, layer: str) -> bool:
    """Say whether a module is a layer or part of it, by their names."""
    return f"{module}.".startswith(f"{layer}.")


def fold(network: nn.Module, convolution: str, norm: str) -> None:
    """Give a convolution its batch norm's scale and shift; in the norm's place stays what else it did."""
    given, scaled = network.get_submodule(norm), network.get_submodule(convolution)
    assert isinstance(scaled, nn.Conv2d)
    assert isinstance(given, nn.BatchNorm2d)
    rest = nn.Identity() if type(given) is nn.BatchNorm2d else nn.Sequential(*map(given.get_submodule, REST))
    replace(network, convolution, fuse_conv_bn_eval(scaled, given).requires_grad_(False))
    replace(network, norm, rest)


def chain(network: nn.Module, pairs: Iterable[tuple[str, ...]]) -> None:
    """Join convolutions and rectifiers, in the network's order, each chain in its first one's place."""
    heads: dict[str, str] = {}  # of the chain that a module went into
    for first, *_, last in pairs:
        head = heads.get(first, first)
        joined = chained(network.get_submodule(head), network.get_submodule(last))
        if joined is not None:
            replace(network, head, joined)
            replace(network, last, nn.Identity())
            heads[last] = head


@torch.no_grad()
def same_function(one: TargetModel, other: TargetModel, layers: Iterable[str] = ()) -> bool:
    """Say whether both networks give the same for noise, up to rounding: at the output, or else at some layers.

    Without an output that is a tensor, and without layers, nothing tells that they do. The other one may be one that
    cannot be run.
    """
    size = one.input_size
    generator = torch.Generator("cpu").manual_seed(0)
    pixels = torch.rand(2, 3, size, size, generator=generator, device="cpu").to(one.mean)
    pixels = pixels.contiguous(memory_format=torch.channels_last)

    def outputs_of(model: TargetModel) -> dict[str, Tensor]:
        try:
            return {OUTPUT: model(pixels)}
        except MfvError:  # the output is no tensor
            return model.activations(pixels, sorted(layers))

    expected = outputs_of(one)
    try:
        found = outputs_of(other)
    except RuntimeError:  # as of maps that are not of the same size
        return False
    return bool(expected) and all(_alike(expected[name].double(), found[name].double()) for name in expected)


def _alike(expected: Tensor, given: Tensor) -> bool:
    spread = (expected - expected.mean()).abs().mean()
    return bool((given - expected).abs().max() <= TOLERANCE * spread.clamp_min(1e-12))


def _known(model: TargetModel, layers: Iterable[str]) -> set[str]:
    """Return the layers' own names, without those of the output."""
    return {model.canonical(layer) for layer in layers if layer not in (OUTPUT, PROB)}


def _is_norm_of(convolution: nn.Module, norm: nn.Module) -> bool:
    if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
        return False
    parts = dict(norm.named_children())
    return type(norm) is nn.BatchNorm2d or (type(norm).__name__ == "BatchNormAct2d" and parts.keys() >= set(REST))


def _pairs(network: nn.Module, fit: Callable[[nn.Module, nn.Module], bool]) -> list[tuple[str, ...]]:
    """Return the names of modules of which one feeds the other, and nothing else, with the identities between them.

    Where the network's forward pass can be traced, wherever they stand; else in a Sequential.
    """
    modules = dict(network.named_modules())
    graph = traced(network)
    found = _in_sequences(modules) if graph is None else _in_graph(graph, modules)
    return [chain for chain in found if fit(modules[chain[0]], modules[chain[-1]])]


def _in_graph(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, ...]]:
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        chain = [node]
        while (source := _only_source(chain[0])) and (len(chain) == 1 or _is_identity(modules, chain[0])):
            chain.insert(0, source)
        names = [str(each.target) for each in chain]
        if len(chain) > 1 and all(calls[name] == 1 for name in names):
            yield tuple(names)


def _only_source(node: fx.Node) -> fx.Node | None:
    """Return the module's call whose output goes into this module and nowhere else."""
    source = node.args[0] if node.op == "call_module" and node.args else None
    alone = isinstance(source, fx.Node) and source.op == "call_module" and len(source.users) == 1
    return source if alone else None  # type: ignore[return-value]


def _is_identity(modules: Mapping[str, nn.Module], node: fx.Node) -> bool:
    return isinstance(modules[str(node.target)], nn.Identity)


def _in_sequences(modules: Mapping[str, nn.Module]) -> Iterator[tuple[str, ...]]:
    for name, module in modules.items():
        if is_sequence(module):
            chain: list[str] = []
            for child, part in module._modules.items():
                chain.append(f"{name}.{child}" if name else child)
                if not isinstance(part, nn.Identity):
                    if len(chain) > 1:
                        yield tuple(chain)
                    chain = chain[-1:]


class SteadyLinear(nn.Linear):
    """A linear layer whose result for an image does not depend on how many others there are.

    A matrix product sums in an order that follows from its shape, and optimization with rectifiers
    multiplies the last bit of a difference ten-thousandfold in a step. Here every product has the
    same number of rows; the last one is filled up with zeros. So on a CPU: on a GPU the convolutions themselves sum in
    another order where the batch is another.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, inputs: Tensor) -> Tensor:
        """Return inputs·Wᵀ + b for inputs (n, d), or (n, …, d) image by image."""
        if inputs.device.type != "cpu" or inputs.ndim == 1:  # on a GPU, or what is no image's, as a learned query
            return super().forward(inputs)
        if inputs.ndim != 2:
            return torch.stack([super(SteadyLinear, self).forward(image) for image in inputs])
        missing = -len(inputs) % ROWS
        blocks = F.pad(inputs, (0, 0, 0, missing)).split(ROWS)
        return torch.cat([super(SteadyLinear, self).forward(block) for block in blocks])[: len(inputs)]
