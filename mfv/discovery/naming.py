"""Facets by what their images are labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

SHOWN = 3  # labels of a facet


def frequent_labels(
    labels: Sequence[str | None], members: Sequence[Sequence[int]], words: Mapping[str, str] | None = None
) -> list[tuple[tuple[str, int], ...]]:
    """Return each facet's most frequent labels, with how many of its images have each.

    Nothing where all images have one label, or none: it would tell no facet from another. Nor is a label given that a
    single one of several images has.

    Args:
        labels: (n,) of the unit's images; None where there is none.
        members: per facet, the numbers of its images.
        words: what to call a label that is a code, as a synset is.

    """
    if len({label for label in labels if label is not None}) < 2:
        return [() for _ in members]
    named = [None if label is None else (words or {}).get(label, label) for label in labels]
    counts = [Counter(name for number in own if (name := named[number]) is not None) for own in members]
    return [
        tuple((name, of) for name, of in count.most_common(SHOWN) if of > 1 or len(own) == 1)
        for count, own in zip(counts, members, strict=True)
    ]
