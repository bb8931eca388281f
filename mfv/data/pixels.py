"""From a tensor or an array to a picture, or a clear word on why it is none."""

import numpy as np
import torch
from PIL import Image

from mfv.data.decoding import to_rgb
from mfv.errors import MfvError

CHANNELS = (1, 3, 4)  # grey, RGB, RGB with opacity
TOLERANCE = 1e-3  # how far resampling may carry floats out of [0, 1]


def picture(values: torch.Tensor | np.ndarray, what: str = "the image") -> Image.Image:
    """Return an RGB picture of float values in [0, 1] or of bytes.

    Shapes: (C, H, W) or (H, W, C) with 1, 3 or 4 channels, or (H, W). Where both readings are possible,
    a tensor has its channels first, an array last. `what` names the image in errors.
    """
    channels_first = isinstance(values, torch.Tensor)
    array = values.detach().cpu() if isinstance(values, torch.Tensor) else values
    if isinstance(array, torch.Tensor):
        array = (array.float() if array.is_floating_point() else array).numpy()
    return to_rgb(Image.fromarray(_channels_last(_bytes(array, what), channels_first, what)))


def _channels_last(array: np.ndarray, channels_first: bool, what: str) -> np.ndarray:
    if array.ndim == 2:
        return array
    first, last = (array.ndim == 3 and array.shape[axis] in CHANNELS for axis in (0, -1))
    if not (first or last) or 0 in array.shape:
        raise MfvError(
            f"{what} has the shape {tuple(array.shape)}; give (C, H, W) or (H, W, C) with 1, 3 or 4 channels"
        )
    if first and (channels_first or not last):
        array = np.moveaxis(array, 0, -1)
    return np.ascontiguousarray(array[..., 0] if array.shape[-1] == 1 else array)


def _bytes(array: np.ndarray, what: str) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype.kind not in "iuf":
        raise MfvError(f"{what} holds {array.dtype}; give floats in [0, 1] or bytes")
    if array.size == 0:
        return array.astype(np.uint8)
    if array.dtype == np.uint16:
        return np.rint(array / 257).astype(np.uint8)
    low, high = float(array.min()), float(array.max())
    given = f"{what} holds {array.dtype} values from {low:.4g} to {high:.4g}"
    if array.dtype.kind in "iu":
        if low < 0 or high > 255:
            raise MfvError(f"{given}; give whole numbers from 0 to 255, or floats in [0, 1]")
        return array.astype(np.uint8)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise MfvError(f"{given}; give finite floats in [0, 1]")
    if low >= 0 and 2 < high <= 255:
        raise MfvError(f"{given}; give floats in [0, 1] (divide by 255), or bytes")
    if low < -TOLERANCE or high > 1 + TOLERANCE:
        raise MfvError(f"{given}; give floats in [0, 1]: leave out Normalize, the model normalizes by itself")
    return np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
