"""What can be said about a configuration before PyTorch is loaded, which takes seconds."""

from collections.abc import Mapping
from typing import Any

from mfv.discovery.refinement import Refinement
from mfv.discovery.selection import Selection
from mfv.errors import MfvError, check_count, check_intervals
from mfv.machine import Machine
from mfv.models.choice import layer_names, position_name
from mfv.models.known import known_network
from mfv.paths import existing_folder
from mfv.rendering.checks import check_settings
from mfv.signatures import check_arguments
from mfv.writing import check_folder

FOLDERS = {  # data sets that are a folder of the user's, and what it holds
    "mfv.data.FolderImages": "your images",
    "mfv.data.ImageNetImages": "ImageNet, which holds train and val",
}


def check_early(settings: Mapping[str, Any]) -> None:
    """Raise `MfvError` for a resolved configuration that cannot be: what costs nothing to find out."""
    check_count("facets", settings["facets"], 1, "facets", "auto")
    check_count("exemplars", settings["exemplars"], 1, "images that a mean image is made of (the paper: 15)")
    check_intervals(settings["snapshot_every"], settings["checkpoint_every"])
    Selection(**settings["select"])
    Refinement(**settings["refine"])
    Machine(**settings["machine"])
    bars = settings["machine"]["progress"]
    if bars not in (True, False, "auto"):
        raise MfvError(f"machine.progress={bars}: it is true, false, or auto")
    if isinstance(settings["render"], Mapping):
        check_settings(settings["render"])
    check_arguments(settings)
    position_name(settings["position"])
    known = known_network(settings["model"])
    if known is not None:
        for layer in layer_names(settings["layer"], settings["model"]["default_layer"]):
            known.check(layer, settings["unit"])
    data = settings["data"]
    use = FOLDERS.get(data.get("_target_", "")) if isinstance(data, Mapping) else None
    if use and data.get("root") is not None:
        existing_folder(data["root"], use)
    check_folder("store.root", settings["store"]["root"])
