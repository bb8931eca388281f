"""FAISS, imported where it is needed, with a word on what is wrong with an installation."""

import warnings
from functools import cache
from importlib import import_module, metadata
from types import ModuleType

from mfv.errors import MfvError

BUILDS = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu11", "faiss-gpu-cu12", "faiss-gpu-cu13", "faiss-gpu-cuvs")
LARGE = 10**8  # points × dimensions × clusters from which "auto" takes a GPU


@cache
def load_faiss() -> ModuleType:
    """Import FAISS; `MfvError` where it is missing, broken, or installed twice (the two builds share a folder)."""
    builds = faiss_builds()
    if len(builds) > 1:
        raise MfvError(
            f"{' and '.join(builds)} are both installed and overwrite each other's files: "
            f'pip uninstall -y {" ".join(builds)}, then pip install "mfv[cpu]" or "mfv[gpu]"'
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of its generated wrappers
            return import_module("faiss")
    except ImportError as error:
        raise MfvError(
            f'k-means needs FAISS, which cannot be imported ({error}): pip install "mfv[cpu]", '
            f'or "mfv[gpu]" on a machine with CUDA'
        ) from error


def faiss_builds() -> list[str]:
    """Return the names of the installed distributions of FAISS."""
    return [name for name in BUILDS if any(metadata.Distribution.discover(name=name))]


def pick_device(faiss: ModuleType, device: str, work: int) -> str:
    """Return where to compute, "cpu" or "gpu".

    "auto" takes a GPU if FAISS has one and `work` (points × dimensions × clusters) is worth the way there.
    """
    if device not in ("auto", "cpu", "gpu"):
        raise MfvError(f"discovery.device is {device!r}; it is one of auto, cpu, gpu")
    available = hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0
    if device == "gpu" and not available:
        raise MfvError(
            "discovery.device is 'gpu', but FAISS sees none: "
            'install "mfv[gpu]" on a machine with CUDA, or use discovery.device=auto'
        )
    return "gpu" if available and (device == "gpu" or (device == "auto" and work >= LARGE)) else "cpu"
