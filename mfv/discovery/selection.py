"""Which images count as a unit's: those of its class, or those that it likes most."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mfv.errors import MfvError, check_count
from mfv.spelling import plain

METHODS = ("auto", "class", "top")
SHARE, LEAST, MOST = 0.15, 150, 1300  # of all images, for `count=None`
SHOWN = 3  # labels that the log lists

logger = logging.getLogger("mfv")


@dataclass(frozen=True)
class Selection:
    """How a unit's images are chosen (PAPER.md, Algorithm 1, step 1).

    Attributes:
        by: "class" (the images with the unit's label), "top" (the images on which the unit is most
            active), or "auto": by class where there are enough images of it, else the top.
        count: how many of the most active images; by default 15 % of all, at least 150 and at most
            1,300 (a class of ImageNet). With "class" an upper bound, the most active first.

    """

    by: str = "auto"
    count: int | None = None

    def __post_init__(self) -> None:
        if self.by not in METHODS:
            raise MfvError(f"select.by is {self.by!r}; it is one of {', '.join(METHODS)}")
        if self.count is not None:
            check_count("select.count", self.count, 1, "images", "null")

    def __call__(
        self, activations: np.ndarray, labels: Sequence[str | None], names: Sequence[str], facets: int
    ) -> np.ndarray:
        """Return the chosen rows (m,), the most active first.

        Args:
            activations: (n,) the unit's value on each image.
            labels: (n,) the images' labels, None where unknown.
            names: what the unit's class is called (label, synset); empty for hidden units.
            facets: how many facets the images must be enough for.

        Raises:
            MfvError: `by` is "class" and there are fewer images of the class than facets.

        """
        order = np.argsort(-activations, kind="stable")
        wanted = {plain(name) for name in names}
        of_class = np.array([label is not None and plain(label) in wanted for label in labels], dtype=bool)
        found = int(of_class.sum())
        if self.by == "class" and found < facets:
            raise MfvError(
                f"{found} of the {len(labels)} images are of class {' / '.join(names) or '(a hidden unit has none)'}, "
                f"fewer than the {facets} facets asked for: give other images, or select.by=top"
            )
        if self.by == "class" or (self.by == "auto" and found >= max(facets, 2)):
            chosen = order[of_class[order]]
            return chosen[: self.count]
        if self.by == "auto" and names and found:
            logger.info("only %d images are of the unit's class: its most active images are taken", found)
        elif self.by == "auto" and names and (others := sorted({label for label in labels if label is not None})):
            shown = ", ".join(others[:SHOWN]) + (" …" if len(others) > SHOWN else "")
            logger.info("no image is labelled %s (there are %s): its most active images are taken", names[0], shown)
        count = self.count or min(MOST, max(LEAST, round(SHARE * len(labels))))
        return order[:count]
