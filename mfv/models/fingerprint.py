"""What tells one network from another."""

import hashlib

import torch

from mfv.models.target import TargetModel


def network_fingerprint(model: TargetModel) -> str:
    """Return a hash of the network's layers, weights and pixel statistics; stores are named by it."""
    digest = hashlib.sha256(f"{model.layers()} {model.channel_order}".encode())
    for name, tensor in model.state_dict().items():
        values = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(values.view(torch.uint8).numpy().data if values.numel() else b"")
    return digest.hexdigest()[:32]
