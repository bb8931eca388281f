"""Forward passes whose maps stay in oneDNN's own layout, in blocks of channels, on CPUs."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from mfv.models.fusing import ConvolutionChain, given_by, is_depthwise, is_frozen_convolution, is_rectifier
from mfv.models.tracing import replace, traced

PASSING = (nn.Identity, nn.Dropout, nn.Dropout2d)  # give what they are given, in evaluation mode
SUMS = (operator.add, operator.iadd, torch.add)
BLOCK = 8  # channels of a block, at least


class BlockedChain(ConvolutionChain):
    """A chain of convolutions that takes maps in oneDNN's layout, and gives them so: the same numbers up to rounding.

    Where it is given others it is a `ConvolutionChain`, but for those at the border.

    Args:
        *modules: of the chain.
        opens: whether what it is given, in PyTorch's layout, is laid out anew; not where gradients are recorded.
        closes: whether what it gives is laid out as PyTorch does it.

    """

    def __init__(self, *modules: nn.Module, opens: bool, closes: bool):
        super().__init__(*modules)
        self.opens, self.closes = opens, closes

    def forward(self, input: Tensor) -> Tensor:
        """Return the last one's output for an input (n, C, H, W)."""
        if self.opens and self.in_few_passes(input) and not torch.is_grad_enabled():
            input = input.to_mkldnn()
        if not input.is_mkldnn:
            return super().forward(input)
        for convolution, rectifier in self.steps:
            input = given_by(convolution, rectifier, input)
        return input.to_dense() if self.closes else input


class BlockedRectifier(nn.Module):
    """A rectifier by itself that takes maps in oneDNN's layout, and gives them so.

    Where someone asks for what goes into it, or comes out of it, a chain cannot have it. So the layout, and with it the
    rounding of all that is behind, does not depend on what is asked for.

    Args:
        rectifier: which oneDNN may not have.

    """

    def __init__(self, rectifier: nn.Module):
        super().__init__()
        self.rectifier = rectifier

    def forward(self, input: Tensor) -> Tensor:
        """Return the rectified input (n, C, H, W)."""
        if not input.is_mkldnn:
            return self.rectifier(input)
        return self.rectifier(input.to_dense()).to_mkldnn()


def keep_in_blocks(network: nn.Module) -> bool:
    """Let a prepared network's forward passes keep oneDNN's layout, where that pays; say whether it does.

    Depthwise convolutions gain by it, others do not; changing the layout back and forth costs more, and so do maps of a
    few channels (docs/performance.md). So it is done where the maps of all depthwise convolutions stay in it from one
    place on, on processors of which that was measured. What else is asked of the network does not change that.

    Args:
        network: its chains are replaced.

    """
    graph = traced(network) if torch.backends.cpu.get_cpu_capability().startswith("AVX") else None
    parts = _in_blocks(graph, dict(network.named_modules())) if graph else {}
    for name, part in parts.items():
        replace(network, name, part)
    return bool(parts)


def _in_blocks(graph: fx.Graph, modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Return what is to be in the place of chains, convolutions and rectifiers; nothing where it would not pay."""
    steps = {node: modules[str(node.target)] for node in graph.nodes if node.op == "call_module"}
    calls = Counter(node.target for node in steps)
    once = {node: module for node, module in steps.items() if calls[node.target] == 1}
    chains = {node: _convolutions_and_rectifiers(module) for node, module in once.items() if _is_chain(module)}
    rectifiers = {node: each for node, each in once.items() if is_rectifier(each) and _source(node, steps) in chains}
    passing = {node for node in graph.nodes if isinstance(steps.get(node), PASSING) or _is_sum(node)}
    staying = _staying(chains, {*passing, *rectifiers})
    depthwise = {node for node, module in steps.items() if any(map(is_depthwise, module.modules()))}
    region = _connected(depthwise, staying)
    within = [node for node in graph.nodes if node in region and node in chains]
    opening = [node for node in within if not _given(node, staying)]
    convolutions = [each for node in within for each in chains[node] if isinstance(each, nn.Conv2d)]
    if len(opening) != 1 or not depthwise <= set(within) or not _pays(convolutions):
        return {}
    found: dict[str, nn.Module] = {
        str(node.target): BlockedChain(*chains[node], opens=node in opening, closes=node not in staying)
        for node in within
    }
    return found | {str(node.target): BlockedRectifier(rectifiers[node]) for node in region & set(rectifiers)}


def _is_chain(module: nn.Module) -> bool:
    return isinstance(module, ConvolutionChain) or is_frozen_convolution(module)


def _convolutions_and_rectifiers(module: nn.Module) -> list[nn.Module]:
    return list(module) if isinstance(module, ConvolutionChain) else [module]


def _pays(convolutions: Sequence[nn.Conv2d]) -> bool:
    """Say whether convolutions, the network's first one first, gain by oneDNN's layout, and keep an image's bits.

    Maps of a few channels do not fill its blocks, but for the first one's, which are not given so. A convolution of
    groups may sum in an order that depends on the number of images.
    """
    wide = all(convolution.in_channels >= BLOCK for convolution in convolutions[1:])
    return wide and all(convolution.groups == 1 or is_depthwise(convolution) for convolution in convolutions)


def _staying(chains: Collection[fx.Node], passing: Collection[fx.Node]) -> set[fx.Node]:
    """Return the steps whose maps can stay in oneDNN's layout: all that comes of them takes it.

    Args:
        chains: steps that take either layout, and can give oneDNN's.
        passing: steps that give the layout which all that they are given has.

    """
    staying = {*chains, *passing}
    while True:
        out = {node for node in staying if not all(user in chains or user in staying for user in node.users)}
        out |= {node for node in staying & set(passing) if not _given(node, staying)}
        if not out:
            return staying
        staying -= out


def _connected(some: Collection[fx.Node], staying: Collection[fx.Node]) -> set[fx.Node]:
    """Return some steps, and all that are connected with them by maps in oneDNN's layout."""
    region, waiting = set(some), list(some)
    while waiting:
        node = waiting.pop()
        given = [each for each in node.all_input_nodes if each in staying]
        near = {*given, *(node.users if node in staying else [])} - region
        region |= near
        waiting += near
    return region


def _source(node: fx.Node, steps: Mapping[fx.Node, nn.Module]) -> fx.Node | None:
    """Return the step that a step is given the output of, but for identities."""
    while len(node.all_input_nodes) == 1:
        (node,) = node.all_input_nodes
        if not isinstance(steps.get(node), nn.Identity):
            return node
    return None


def _is_sum(node: fx.Node) -> bool:
    maps = len(node.all_input_nodes) == len(node.args) and not node.kwargs  # no numbers
    return node.op == "call_function" and node.target in SUMS and maps


def _given(node: fx.Node, staying: Collection[fx.Node]) -> bool:
    return set(node.all_input_nodes) <= set(staying)
