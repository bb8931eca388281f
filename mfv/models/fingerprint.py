"""What tells one network from another."""

import hashlib
import re

import torch

from mfv.models.own_code import own_code
from mfv.models.target import TargetModel


def network_fingerprint(model: TargetModel) -> str:
    """Return a hash of the network's layers with their settings, weights, and pixel statistics.

    Stores are named by it. Settings (strides, slopes …) are those that a module shows when it is printed; of modules
    that are not of torch, torchvision or timm, their code and their plain attributes count too (`own_code`).
    """
    shown = re.sub(r" at 0x[0-9a-f]+", "", repr(model.network))  # where something lies in memory tells nothing
    digest = hashlib.sha256(f"{model.layers()} {shown} {model.channel_order}".encode())
    passing = dict(model.named_buffers())  # also those that no checkpoint keeps
    for name, tensor in {**model.state_dict(), **passing}.items():
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(values.view(torch.uint8).numpy().data if values.numel() else b"")
    for said in own_code(model.network):
        digest.update(f"{said}\n".encode())
    return digest.hexdigest()[:32]
