"""What codes must be for clusters to be found in them, and how they are made ready."""

import numbers

import numpy as np

from mfv.errors import MfvError

ROUNDING = 1e-6  # of the largest entry
SHOWN = 5  # rows that an error lists


def check_codes(codes: np.ndarray, facets: int) -> None:
    """Raise `MfvError` unless `facets` clusters can be found among `codes` (n, d).

    The codes must be finite, also in float32, and at least `facets` of them must differ.
    """
    if isinstance(facets, bool) or not isinstance(facets, numbers.Integral) or facets < 1:
        raise MfvError(f"facets is {facets!r}; give a whole number of at least 1, for example facets=10")
    if codes.ndim != 2 or codes.shape[1] == 0 or not np.issubdtype(codes.dtype, np.floating):
        raise MfvError(
            f"the codes are {codes.dtype} {codes.shape}; discovery takes one vector of floating-point numbers "
            f"per image (n, d): choose a code layer whose activation can be one"
        )
    count = len(codes)
    if count < facets:
        raise MfvError(
            f"facets is {facets}, but there are only {count} images: "
            f"give more images, or ask for fewer (facets={max(count, 1)})"
        )
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(codes.astype(np.float32, copy=False)).all(axis=1))
    if len(bad):
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise MfvError(
            f"the codes of {len(bad)} of {count} images hold NaN or infinite values "
            f"(rows {', '.join(map(str, bad[:SHOWN]))}{more}): "
            f"leave these images out, or collect the codes anew in float32"
        )
    distinct = count_distinct(codes, facets)
    if distinct < facets:
        raise MfvError(
            f"facets is {facets}, but the {count} images have only {distinct} different codes: "
            f"give other images, another code layer, or ask for fewer (facets={distinct})"
        )


def prepared(codes: np.ndarray, facets: int, unit_length: bool) -> np.ndarray:
    """Check the codes and return them as float32, each divided by its length if `unit_length` (zeros stay)."""
    check_codes(codes, facets)
    points = codes.astype(np.float32)
    if unit_length:
        to_unit_length(points)
        if facets > 1 and not differ(points):
            raise MfvError(
                f"facets is {facets}, but the codes of the {len(codes)} images differ in their length alone: "
                "let it count (discovery.unit_length=false), give another code layer, or ask for facets=1"
            )
    return points


def differ(points: np.ndarray) -> bool:
    """Say whether points (n, d) differ by more than float32's rounding."""
    return bool(np.abs(points - points[0]).max() > ROUNDING * np.abs(points[0]).max())


def to_unit_length(points: np.ndarray) -> None:
    """Divide each point (n, d) by its length, in place; zeros stay."""
    # The largest entry comes out first: no square can then overflow or vanish.
    largest = np.abs(points).max(axis=1, keepdims=True)
    np.divide(points, largest, out=points, where=largest > 0)
    lengths = np.linalg.norm(points, axis=1, keepdims=True)
    np.divide(points, lengths, out=points, where=lengths > 0)


def count_distinct(codes: np.ndarray, enough: int) -> int:
    """Return the number of different rows, or `enough` as soon as so many are seen."""
    seen: set[bytes] = set()
    for row in codes:
        seen.add((row + 0.0).tobytes())  # −0 becomes 0
        if len(seen) == enough:
            break
    return len(seen)
