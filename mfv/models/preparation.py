"""A copy of the network made ready for work: fewer operations, and each image's bits its own."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mfv.activations.hooks import INPUT_SUFFIX
from mfv.models.target import OUTPUT, PROB, TargetModel

ROWS = 8  # of a matrix product


def prepare(model: TargetModel, keep: Iterable[str] = ()) -> TargetModel:
    """Return a copy to work with: the same function, with batch norms folded and linear layers row by row.

    In evaluation mode a batch norm is a scale and a shift per channel, which the convolution before
    it in a Sequential can take over. The convolution then gives what the batch norm gave, so pairs
    of which a layer in `keep` is a part stay as they are.
    """
    kept = {model.canonical(layer).removesuffix(INPUT_SUFFIX) for layer in keep if layer not in (OUTPUT, PROB)}
    prepared = copy.deepcopy(model)
    for name, module in list(prepared.network.named_modules()):
        if isinstance(module, nn.Sequential):
            _fold_pairs(module, f"{name}." if name else "", kept)
        for child_name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, child_name, SteadyLinear(child))
    return prepared


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


def _fold_pairs(sequence: nn.Sequential, prefix: str, kept: set[str]) -> None:
    names = list(sequence._modules)
    for first, second in pairwise(names):
        convolution, norm = sequence._modules[first], sequence._modules[second]
        if not isinstance(convolution, nn.Conv2d) or not isinstance(norm, nn.BatchNorm2d):
            continue
        if {prefix + first, prefix + second} & kept or norm.running_mean is None:
            continue
        sequence._modules[first] = fuse_conv_bn_eval(convolution, norm).requires_grad_(False)
        sequence._modules[second] = nn.Identity()
