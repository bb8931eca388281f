"""A network's copy that nothing changes."""

import copy
import logging

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from mfv.errors import MfvError

MAKE_WEIGHTS = (SpectralNorm, WeightNorm, BasePruningMethod)  # hooks without which the weights are not the network's

logger = logging.getLogger("mfv")


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode and float32, channels last, without gradients, hooks and in-place activations.

    Hooks that make weights (spectral norm, weight norm, pruning) stay; others might reach back to the user's objects.

    Raises:
        MfvError: the network cannot be copied.

    """
    if isinstance(network, torch.jit.ScriptModule):
        raise MfvError(
            "the network is a TorchScript program, whose layers cannot be watched: give the nn.Module behind it"
        )
    if any(is_lazy(parameter) for parameter in network.parameters()):
        raise MfvError(
            f"the network ({type(network).__name__}) has lazy modules, yet without weights: run it once on an image"
        )
    try:
        network = copy.deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise MfvError(
            f"the network ({type(network).__name__}) cannot be copied: {error}. Where it keeps tensors of its last "
            "pass, or makes weights by hooks: run it once inside torch.no_grad() before"
        ) from error
    network = network.eval().requires_grad_(False).float().to(memory_format=torch.channels_last)
    left_out = 0
    for module in network.modules():
        if getattr(module, "inplace", False) is True:
            module.inplace = False  # type: ignore[assignment]
        kept = {key: hook for key, hook in module._forward_pre_hooks.items() if isinstance(hook, MAKE_WEIGHTS)}
        left_out += len(module._forward_hooks) + len(module._forward_pre_hooks) - len(kept)
        for hooks in (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        ):
            hooks.clear()
        module._forward_pre_hooks.update(kept)
    if left_out:
        logger.warning(
            "%d forward hooks of the network (%s) are left out, and what they change with them: put that into a module",
            left_out,
            type(network).__name__,
        )
    return network
