"""Read an image file, whatever its mode, or say why it cannot be read."""

import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from mfv.errors import UnreadableImage

# Formats of pictures. Not EPS and its like: to open one, Pillow would start another program.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "PPM", "TIFF", "WEBP", "JPEG2000", "AVIF")
REDUCED = 2  # times the side that is wanted: what a JPEG that is decoded smaller keeps
PARTS = (8, 4, 2)  # of its size that libjpeg decodes at


def decode(path: str | Path, side: int | None = None) -> Image.Image:
    """Return an image file's picture as RGB, 8 bits, decoded to its end.

    16-bit and floating-point pictures are rescaled to 8 bits (see `to_rgb`), transparent ones are laid
    over white, the orientation in the file's EXIF is applied, CMYK and palettes are converted, and of
    several frames the first is taken.

    Args:
        path: of the file.
        side: the short side, in pixels, that the picture will be scaled to; None where that is not known. A JPEG is
            then decoded at a half, a quarter or an eighth of its size, where that divides it and leaves a short side at
            least `REDUCED` times as long.

    Raises:
        UnreadableImage: the file is missing, empty, truncated, no image, or larger than Pillow's limit
            for decompression bombs (about 179 million pixels).

    """
    path = Path(path)
    with strictly():
        try:
            obstacle = _obstacle(path)
            if obstacle:
                raise UnreadableImage(str(path), obstacle)
            with Image.open(path, formats=_formats()) as image:
                if side and image.format in ("JPEG", "MPO"):
                    _reduce(image, REDUCED * side)
                image.load()
                if 0 in image.size:
                    raise UnreadableImage(str(path), "it has no pixels")
                return to_rgb(_upright(image))
        except UnreadableImage:
            raise
        except UnidentifiedImageError:
            raise UnreadableImage(str(path), f"not an image ({', '.join(_formats())})") from None
        except Exception as error:  # on broken files Pillow's decoders raise errors of every kind
            raise UnreadableImage(str(path), str(error) or type(error).__name__) from error


def _reduce(image: Image.Image, least: int) -> None:
    """Have a JPEG decoded at the smallest part of its size whose short side has at least so many pixels.

    Only where the part divides both sides: else libjpeg adds a margin, and what is scaled would be a bit too much.
    """
    for part in PARTS:
        if min(image.size) >= part * least and not any(length % part for length in image.size):
            image.draft(None, (image.width // part, image.height // part))
            return


def to_rgb(image: Image.Image) -> Image.Image:
    """Return a picture of any of Pillow's modes as RGB, 8 bits; the given one is not changed.

    Transparency is laid over white. Deep pictures are scaled by the smallest of the usual ranges that
    holds their values: 16-bit by 0…65535, integers of 32 bits likewise, floats by 0…1, 0…255 or 0…65535;
    values outside these are stretched from their own minimum and maximum.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.mode in ("La", "RGBa"):  # colours already multiplied by their opacity
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        return _over_white(image.convert("RGBA"))
    return image.convert("RGB")


def _eight_bits(values: np.ndarray) -> np.ndarray:
    is_float = values.dtype.kind == "f"
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    ranges = (1.0, 255.0, 65535.0) if is_float else (65535.0,)
    top = next((top for top in ranges if high <= top), None) if low >= 0 else None
    if top is None:
        values, top = values - low, max(high - low, 1e-12)
    return (values * (255.0 / top) + 0.5).astype(np.uint8)


def _over_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image.getchannel("A"))
    return white


def _upright(image: Image.Image) -> Image.Image:
    with suppress(Exception):  # broken EXIF says nothing about the pixels
        ImageOps.exif_transpose(image, in_place=True)  # else it is copied where there is nothing to turn
    return image


def _obstacle(path: Path) -> str | None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return "no such file"
    if stat.S_ISDIR(status.st_mode):
        return "it is a folder"
    if not stat.S_ISREG(status.st_mode):
        return "not an ordinary file"
    return None if status.st_size else "the file is empty"


@cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


_lock = threading.Lock()
_inside: set[int] = set()  # threads within `strictly`
_restore = ExitStack()


@contextmanager
def strictly() -> Iterator[None]:
    """Silence warnings and refuse truncated files, for as long as any thread is inside.

    Both are settings of the whole process: the first thread in sets them, the last one out restores them. Not to be
    nested: an interrupt may come while a thread goes in or out, and whatever it leaves is put right by the next time.
    """
    thread = threading.get_ident()
    try:
        with _lock:
            if not _inside - {thread}:
                _restore.close()
                _restore.enter_context(warnings.catch_warnings())
                _restore.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
                warnings.simplefilter("ignore")
                ImageFile.LOAD_TRUNCATED_IMAGES = False
            _inside.add(thread)
        yield
    finally:
        with _lock:
            _inside.discard(thread)
            if not _inside:
                _restore.close()
