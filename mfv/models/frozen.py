"""A network's copy that nothing changes."""

import copy

import torch
from torch import nn

from mfv.errors import MfvError


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode and float32, channels last, without gradients, hooks and in-place activations.

    Raises:
        MfvError: the network cannot be copied.

    """
    try:
        network = copy.deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise MfvError(f"the network ({type(network).__name__}) cannot be copied: {error}") from error
    network = network.eval().requires_grad_(False).float().to(memory_format=torch.channels_last)
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        ):
            hooks.clear()
    return network
