"""List a model's layers: name, other names, type, shape of what it gives, number of units.

usage: python scripts/list_layers.py [model=NAME] [model.weights=none] [model.KEY=VALUE …]
       python scripts/list_layers.py --write       # mfv/models/known_networks.json, of all conf/model

NAME is one of conf/model/. The shapes come from one forward pass, so that model.weights=none will do.
"""

import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mfv.errors import MfvError, nearest_names
from mfv.models.known import FILE, OWN
from mfv.models.layers import Layer, describe_layers
from mfv.models.target import PROB, TargetModel

CONF = Path(__file__).resolve().parents[1] / "conf" / "model"
HEADER = ("layer", "aliases", "type", "shape", "units")


def make_model(overrides: Sequence[str]) -> TargetModel:
    """Return the model that `model=NAME` (by default mobilenet_v2) and `model.KEY=VALUE` describe."""
    name = "mobilenet_v2"
    values = []
    for override in overrides:
        key, sign, value = override.lstrip("+").partition("=")
        if key == "model" and sign:
            name = value
        elif key.startswith("model.") and sign:
            values.append(f"{key.removeprefix('model.')}={value}")
        else:
            raise MfvError(f"{override!r} is neither model=NAME nor model.KEY=VALUE\n\n{__doc__}")
    path = CONF / f"{name}.yaml"
    if not path.is_file():
        known = sorted(file.stem for file in CONF.glob("*.yaml"))
        near = nearest_names(name, known) or known
        raise MfvError(f"there is no model {name!r} in {CONF}; did you mean {', '.join(near)}?")
    config = OmegaConf.merge(OmegaConf.load(path), OmegaConf.from_dotlist(values))
    assert isinstance(config, DictConfig)
    return _instantiated(config)


def table(layers: Sequence[Layer]) -> str:
    """Return the layers as lines of text, in columns."""
    rows = [HEADER, *(_cells(layer) for layer in layers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def known_networks() -> dict[str, Any]:
    """Return what `mfv.models.known` knows of the networks of conf/model that need no setting of the user's."""
    libraries = {"mfv.models.torchvision": "torchvision", "mfv.models.timm": "timm"}
    networks = {}
    for path in sorted(CONF.glob("*.yaml")):
        config = OmegaConf.load(path)
        assert isinstance(config, DictConfig)
        library = libraries.get(str(config.get("_target_")).rpartition(".")[0])
        if path.stem != config.get("name") or library is None:
            continue
        networks[path.stem] = {
            "target": config["_target_"],
            "library": library,
            "settings": {key: config[key] for key in OWN if config.get(key) is not None},
            **names_of(make_model([f"model={path.stem}", "model.weights=none"])),
        }
    return {"versions": {library: version(library) for library in libraries.values()}, "networks": networks}


def names_of(model: TargetModel) -> dict[str, Any]:
    """Return a network's layers with their numbers of units, and those whose units are the classes."""
    layers = {layer.name: layer.units for layer in describe_layers(model) if layer.name != PROB}
    return {"layers": layers, "classes": [layer for layer in layers if model.is_output(layer)]}


def _cells(layer: Layer) -> tuple[str, ...]:
    shape = "not called" if layer.shape is None else "×".join(map(str, layer.shape)) or "a number"
    return (
        layer.name,
        ", ".join(layer.aliases),
        layer.kind,
        shape,
        "" if layer.units is None else str(layer.units),
    )


def _instantiated(config: DictConfig) -> Any:
    try:
        return instantiate(config, _convert_="all")
    except (InstantiationException, OmegaConfBaseException) as error:
        cause: BaseException = error
        while cause.__cause__ is not None and not isinstance(cause, MfvError):
            cause = cause.__cause__
        raise MfvError(str(cause)) from error


def main() -> int:
    """Print the table; 1 where the model cannot be had."""
    try:
        if {"-h", "--help"} & set(sys.argv[1:]):
            print(__doc__)
            return 0
        if sys.argv[1:] == ["--write"]:
            FILE.write_text(json.dumps(known_networks(), separators=(",", ":")) + "\n", encoding="utf-8")
            return 0
        model = make_model(sys.argv[1:])
        print(table(describe_layers(model)))
        print(
            f"\ncodes: {model.code_layer}   middle: {model.anchor_layer}   "
            f"default: layer={model.default_layer} unit={model.default_unit}"
        )
    except MfvError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
