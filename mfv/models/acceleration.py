"""What may make a network's passes faster. Nothing here needs PyTorch, so that a mistake is answered at once."""

from dataclasses import dataclass

from mfv.errors import MfvError, nearest_names

PRECISIONS = ("float32", "bfloat16", "float16")
AUTO, CHANNELS_LAST, CHANNELS_FIRST = LAYOUTS = ("auto", "channels_last", "channels_first")


@dataclass(frozen=True)
class Acceleration:
    """What may make the network's passes faster; each is tried, and left where it is no gain.

    Attributes:
        precision: of convolutions and matrix products: float32, bfloat16 or float16 (autocast). The images
            themselves, what is asked of the network and all regularizers stay float32.
        compile: whether to let `torch.compile` fuse the network's operations. Compiling takes from seconds to a minute.
        graph: whether to replay a pass as a CUDA graph, on a CUDA device: it takes less than a second to record, and
            saves the launches of a few images' pass.
        layout: of weights and pixels in memory (`mfv.models.layout`): auto, channels_last or channels_first.

    Raises:
        MfvError: the precision or the layout is unknown.

    """

    precision: str = "float32"
    compile: bool = False
    graph: bool = True
    layout: str = AUTO

    def __post_init__(self) -> None:
        for name, value, known in (("precision", self.precision, PRECISIONS), ("layout", self.layout, LAYOUTS)):
            if value not in known:
                near = nearest_names(str(value), known)
                hint = f"did you mean {near[0]}? " if near else ""
                raise MfvError(f"machine.{name} is {value!r}; {hint}it is {', '.join(known)}")
