"""Hugging Face's server, which timm's weights come from, where there is no network."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies


@contextmanager
def hub_if_reachable() -> Iterator[None]:
    """Have the library look into its cache alone where its server is not to be found: it would ask for 46 s."""
    constants: Any = import_module("huggingface_hub.constants")
    given = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = given or not reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = given


def reachable(address: str) -> bool:
    """Say whether a server may be reached: its name is known, or there is a proxy that may know it."""
    server = urlsplit(address)
    if server.scheme in getproxies() or "all" in getproxies():
        return True
    try:
        socket.getaddrinfo(server.hostname, server.port)
    except OSError:
        return False
    return True
