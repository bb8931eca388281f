"""The 1000 classes of ImageNet (ILSVRC 2012), in the order of a network's output."""

from functools import cache
from pathlib import Path

CLASSES = 1000
GROCERY_STORE = 582
# Words that ImageNet itself gives to two classes, though torchvision's labels tell these apart.
HOMONYMS = {"crane": (134, 517), "maillot": (638, 639)}


@cache
def labels() -> tuple[str, ...]:
    """Return the classes' names as torchvision's checkpoints have them."""
    return tuple(Path(__file__).with_name("imagenet_labels.txt").read_text(encoding="utf-8").splitlines())


@cache
def synsets() -> tuple[str, ...]:
    """Return the classes' WordNet ids ("n01440764"): sorted, they are the classes' order."""
    text = Path(__file__).with_name("imagenet_synsets.txt").read_text(encoding="ascii")
    return tuple(text.split())
