"""Any other network as a model under study."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from mfv.errors import MfvError
from mfv.models.labels import read_labels
from mfv.models.target import IMAGENET_MEAN, IMAGENET_STD, TargetModel
from mfv.models.weights import find_checkpoint, is_none, load_into, load_state


def custom_model(
    network: nn.Module,
    weights: str | None = None,
    *,
    name: str = "custom",
    input_size: int = 224,
    resize: int | None = None,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    channel_order: str = "rgb",
    labels: Sequence[str] | str | Path | None = None,
    synsets: Sequence[str] | str | Path | None = None,
    aliases: Mapping[str, str] | None = None,
    code_layer: str | None = None,
    anchor_layer: str | None = None,
    default_layer: str | None = None,
    default_unit: int | str = 0,
) -> TargetModel:
    """Return a copy of any network that maps images (n, 3, H, W) to class scores or features.

    Args:
        network: the network; it is not changed.
        weights: the path of a checkpoint for it; without (or with "none") it keeps the weights it has.
        name: what results call it.
        input_size: height and width of its input, in pixels.
        resize: the short side that photographs are scaled to before the centre is cut out.
        mean: per channel, in [0, 1] RGB, subtracted from the pixels.
        std: per channel, in [0, 1] RGB, divides them.
        channel_order: "rgb", or "bgr" for networks from Caffe.
        labels: the class names in the order of the output, or a text file with one a line.
        synsets: the classes' WordNet ids, or a text file with one a line.
        aliases: other names for layers.
        code_layer: see TargetModel, as for the three that follow.
        anchor_layer: see TargetModel.
        default_layer: see TargetModel.
        default_unit: see TargetModel.

    Raises:
        MfvError: a setting is wrong, or the weights cannot be found or do not fit the network.

    """
    if not isinstance(network, nn.Module):
        raise MfvError(
            f"network of model {name} is a {type(network).__name__}, not a torch.nn.Module "
            "(model.network._target_ names the class or function that makes it)"
        )
    model = TargetModel(
        network,
        name=name,
        input_size=input_size,
        resize=resize,
        mean=mean,
        std=std,
        channel_order=channel_order,
        labels=read_labels(labels),
        synsets=read_labels(synsets),
        aliases=aliases,
        code_layer=code_layer,
        anchor_layer=anchor_layer,
        default_layer=default_layer,
        default_unit=default_unit,
    )
    if not is_none(weights):
        path = find_checkpoint(str(weights), _as_path(str(weights)))
        load_into(model.network, load_state(path), path)
    return model


def _as_path(weights: str) -> str:
    return str(Path(weights).expanduser().absolute())
