"""What may make a network's passes faster. Nothing here needs PyTorch, so that a mistake is answered at once."""

from dataclasses import dataclass

from mfv.errors import MfvError, nearest_names

PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Acceleration:
    """What may make the network's passes faster; each is tried, and left where it is no gain.

    Attributes:
        precision: of convolutions and matrix products: float32, bfloat16 or float16 (autocast). The images
            themselves, what is asked of the network and all regularizers stay float32.
        compile: whether to let `torch.compile` fuse the network's operations. Compiling takes from seconds to a minute.
        graph: whether to replay a pass as a CUDA graph, on a CUDA device: it takes less than a second to record, and
            saves the launches of a few images' pass.

    """

    precision: str = "float32"
    compile: bool = False
    graph: bool = True

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            near = nearest_names(str(self.precision), PRECISIONS)
            hint = f"did you mean {near[0]}? " if near else ""
            raise MfvError(f"machine.precision is {self.precision!r}; {hint}it is {', '.join(PRECISIONS)}")
