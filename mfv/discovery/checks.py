"""What codes must be before they can be clustered."""

import numpy as np

from mfv.errors import MfvError

SHOWN = 5


def check_codes(codes: np.ndarray, facets: int) -> None:
    """Raise MfvError where codes (n, d) cannot give that many facets: too few, alike, or not finite."""
    if facets < 1:
        raise MfvError(f"facets={facets}: ask for at least 1")
    if codes.ndim != 2:
        raise MfvError(f"codes have the shape {codes.shape}; they are one vector per image, (n, d)")
    if len(codes) < facets:
        raise MfvError(
            f"{len(codes)} images are too few for {facets} facets: give more images, or ask for fewer (facets=…)"
        )
    bad = np.flatnonzero(~np.isfinite(codes).all(axis=1))
    if len(bad):
        rows = ", ".join(map(str, bad[:SHOWN])) + (" …" if len(bad) > SHOWN else "")
        raise MfvError(
            f"{len(bad)} of {len(codes)} codes hold NaN or infinite values (rows {rows}): "
            "the network overflows on these images, or its weights are damaged; try another code_layer"
        )
    distinct = len(np.unique(codes, axis=0))
    if distinct < facets:
        raise MfvError(
            f"the {len(codes)} images have {distinct} distinct codes, fewer than {facets} facets: "
            f"images are repeated, or the network cannot tell them apart; ask for facets={distinct} or fewer"
        )
