"""Models of the timm library (PyTorch Image Models) as models under study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from mfv.errors import MfvError, nearest_names
from mfv.libraries import postponed
from mfv.models import imagenet
from mfv.models.hub import hub_if_reachable
from mfv.models.labels import read_labels
from mfv.models.packages import EFFICIENTNET_LITE0, EFFICIENTNET_LITE2
from mfv.models.target import TargetModel
from mfv.models.weights import build, find_checkpoint, is_none, is_path, load_into, load_state

PRETRAINED = "pretrained"
_COUNTER = "num_batches_tracked"
_LITE = {0: (EFFICIENTNET_LITE0, 224), 2: (EFFICIENTNET_LITE2, 260)}  # the weights' package and the input's side


def timm_model(
    name: str,
    weights: str | None = PRETRAINED,
    *,
    num_classes: int | None = None,
    labels: Sequence[str] | str | Path | None = None,
    aliases: Mapping[str, str] | None = None,
    code_layer: str | None = None,
    anchor_layer: str | None = None,
    default_layer: str | None = None,
    default_unit: int | str | None = None,
) -> TargetModel:
    """Return a model of timm, with the pixel statistics and sizes of its pretrained configuration.

    Args:
        name: timm's name of the model, for example "convnext_atto" or "resnet50.a1_in1k".
        weights: "pretrained" (timm downloads them, or takes them from its own cache), the path of a
            checkpoint, or "none" for an untrained network.
        num_classes: of a checkpoint of your own; by default the model's.
        labels: the class names, or a text file with one a line; by default ImageNet's where there are 1000.
        aliases: other names for layers.
        code_layer: see TargetModel, as for the two that follow.
        anchor_layer: see TargetModel.
        default_layer: see TargetModel.
        default_unit: see TargetModel; by default "grocery store" where the classes are ImageNet's.

    Raises:
        MfvError: timm is not installed, has no such model, or the weights cannot be had or loaded.

    """
    timm = _timm()
    if not timm.is_model(name):
        near = nearest_names(name, timm.list_models())
        raise MfvError(f"timm has no model {name!r}; did you mean {', '.join(near) or 'another'}?")
    if not (is_none(weights) or weights == PRETRAINED or is_path(str(weights))):
        raise MfvError(f"weights of {name} is {weights!r}; it is {PRETRAINED}, a path ending in .pth …, or none")
    options: dict[str, Any] = {} if num_classes is None else {"num_classes": num_classes}
    network: nn.Module
    if weights == PRETRAINED:
        try:
            with hub_if_reachable():
                network = build(lambda: timm.create_model(name, pretrained=True, **options), trained=True)
        except Exception as error:  # each of timm's sources fails in its own way
            raise MfvError(
                f"timm cannot get the pretrained weights of {name}: {str(error).strip()[:300]}\n"
                "Give a checkpoint (model.weights=/path/to/file.safetensors), take the offline model "
                "(model=mobilenet_v2), or an untrained network (model.weights=none)"
            ) from error
    else:
        trained = not is_none(weights)
        network = build(lambda: timm.create_model(name, pretrained=False, **options), trained)
        if trained:
            path = find_checkpoint(str(weights), str(weights))
            load_into(network, load_state(path), path)
    config = timm.data.resolve_model_data_config(network)
    _, height, width = config["input_size"]
    if height != width:
        raise MfvError(f"{name} takes {height}×{width} pixels; only square inputs are supported")
    known = labels is None and getattr(network, "num_classes", None) == imagenet.CLASSES
    if default_unit is None:
        default_unit = imagenet.GROCERY_STORE if known else 0
    return TargetModel(
        network,
        name=name,
        input_size=height,
        mean=config["mean"],
        std=config["std"],
        labels=imagenet.labels() if known else read_labels(labels),
        synsets=imagenet.synsets() if known else None,
        aliases=aliases,
        code_layer=code_layer,
        anchor_layer=anchor_layer,
        default_layer=default_layer,
        default_unit=default_unit,
    )


def efficientnet_lite(
    version: int = 0,
    weights: str | None = PRETRAINED,
    *,
    name: str | None = None,
    aliases: Mapping[str, str] | None = None,
    code_layer: str | None = None,
    anchor_layer: str | None = None,
    default_layer: str | None = None,
    default_unit: int | str = imagenet.GROCERY_STORE,
) -> TargetModel:
    """Return EfficientNet-Lite0 or -Lite2 with the ImageNet weights of a small package.

    They are the second and third network that need no server. The checkpoints' tensors have names of their
    own and stand in the order of timm's `tf_efficientnet_lite…`.
    Pixels are scaled to (x − .5) / .5, 224 or 260 a side.

    Args:
        version: 0 or 2.
        name: what results call it; by default efficientnet_lite0 or efficientnet_lite2.
        weights: "pretrained", the path of that checkpoint, or "none" for an untrained network.
        aliases: see TargetModel, as for the four that follow.
        code_layer: see TargetModel.
        anchor_layer: see TargetModel.
        default_layer: see TargetModel.
        default_unit: see TargetModel.

    Raises:
        MfvError: timm is not installed, there is no such version, or the weights cannot be had or loaded.

    """
    timm = _timm()
    if version not in _LITE:
        raise MfvError(f"EfficientNet-Lite{version} has no package of weights; version is one of {list(_LITE)}")
    package, size = _LITE[version]
    trained = not is_none(weights)
    network: nn.Module = build(lambda: timm.create_model(f"tf_efficientnet_lite{version}", pretrained=False), trained)
    if trained:
        path = find_checkpoint(package.file_name, str(weights), package)
        load_into(network, _in_order(load_state(path), network), path)
    return TargetModel(
        network,
        name=name or f"efficientnet_lite{version}",
        input_size=size,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        labels=imagenet.labels(),
        synsets=imagenet.synsets(),
        aliases=aliases,
        code_layer=code_layer,
        anchor_layer=anchor_layer,
        default_layer=default_layer,
        default_unit=default_unit,
    )


def _in_order(state: Mapping[str, Any], network: nn.Module) -> dict[str, Any]:
    """Give a checkpoint's tensors the network's names, one after another; surplus ones keep theirs."""
    theirs = [name for name in state if _COUNTER not in name]
    ours = [name for name in network.state_dict() if _COUNTER not in name]
    names = dict(zip(theirs, ours, strict=False))
    return {names.get(name, name): state[name] for name in theirs}


def _timm() -> Any:
    try:
        with postponed("wandb"):  # which timm loads for training scripts of its own, and takes as long as timm
            import timm
            import timm.data
    except ImportError as error:
        raise MfvError('this model needs timm, which is not installed: pip install "mfv[timm]"') from error
    return timm
