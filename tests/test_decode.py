"""Reading single image files: every mode gives the right colours, every broken file its reason."""

import io
import pickle
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from mfv.data import decode, to_rgb
from mfv.data.pixels import picture
from mfv.errors import MfvError, UnreadableImage

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8)


@pytest.fixture
def colours() -> Image.Image:
    """A picture whose corners differ, 48 wide and 32 high."""
    y, x = np.mgrid[0:32, 0:48]
    return Image.fromarray(np.stack([x * 5, y * 7, 200 - x * 2], axis=-1).astype(np.uint8))


def photo(quality: int = 90, **options: object) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).resize((160, 120)).save(buffer, "JPEG", quality=quality, **options)
    return buffer.getvalue()


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first, dtype=float) - np.asarray(second, dtype=float)).max())


def test_rgb_is_unchanged(tmp_path: Path, colours: Image.Image) -> None:
    colours.save(tmp_path / "a.png")
    image = decode(tmp_path / "a.png")
    assert image.mode == "RGB"
    assert difference(image, colours) == 0


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_gradient_stays_a_gradient(tmp_path: Path, ending: str) -> None:
    deep = np.tile(np.linspace(0, 65535, 64).round().astype(np.uint16), (8, 1))
    Image.fromarray(deep).save(tmp_path / f"a.{ending}")
    values = np.asarray(decode(tmp_path / f"a.{ending}"))[0]
    np.testing.assert_allclose(values, np.stack([RAMP] * 3, axis=-1), atol=1)


def test_16_bit_big_endian_tiff(tmp_path: Path) -> None:
    deep = np.tile(np.linspace(0, 65535, 64).round().astype(">u2"), (8, 1))
    Image.frombytes("I;16B", (64, 8), deep.tobytes()).save(tmp_path / "a.tif")
    np.testing.assert_allclose(np.asarray(decode(tmp_path / "a.tif"))[0, :, 0], RAMP, atol=1)


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_tiff_is_scaled_by_its_range(tmp_path: Path, top: float) -> None:
    Image.fromarray(np.tile(np.linspace(0, top, 64, dtype=np.float32), (8, 1))).save(tmp_path / "a.tif")
    np.testing.assert_allclose(np.asarray(decode(tmp_path / "a.tif"))[0, :, 1], RAMP, atol=1)


def test_values_outside_the_usual_ranges_are_stretched() -> None:
    signed = np.linspace(-500, 500, 64, dtype=np.float32)[None]
    np.testing.assert_allclose(np.asarray(to_rgb(Image.fromarray(signed)))[0, :, 0], RAMP, atol=1)
    broken = np.array([[np.nan, np.inf, 0.5, 1.0]], dtype=np.float32)
    assert np.asarray(to_rgb(Image.fromarray(broken)))[0, :, 0].tolist() == [0, 0, 128, 255]


def test_constant_32_bit_picture_does_not_divide_by_zero() -> None:
    assert np.asarray(to_rgb(Image.fromarray(np.full((4, 4), -7, np.int32)))).max() == 0


def test_cmyk_jpeg_has_the_colours_of_its_rgb(tmp_path: Path) -> None:
    rgb = Image.new("RGB", (64, 48), (200, 60, 30))
    rgb.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert difference(decode(tmp_path / "a.jpg"), rgb) <= 6


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_and_black_and_white(tmp_path: Path, mode: str) -> None:
    Image.fromarray(np.where(np.arange(64) < 32, 0, 255).astype(np.uint8)[None]).convert(mode).save(tmp_path / "a.png")
    values = np.asarray(decode(tmp_path / "a.png"))[0]
    assert (values[:32] == 0).all()
    assert (values[32:] == 255).all()
    assert values.shape == (64, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_over_white(tmp_path: Path, mode: str) -> None:
    image = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 128))
    image.putpixel((2, 0), (0, 0, 0, 0))
    image.convert(mode).save(tmp_path / "a.png")
    np.testing.assert_allclose(np.asarray(decode(tmp_path / "a.png"))[0, :, 0], [0, 127, 255], atol=1)


@pytest.mark.parametrize("transparency", [1, bytes([255, 0])])
def test_transparent_palette_entry_becomes_white(tmp_path: Path, transparency: int | bytes) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([250, 10, 20, 0, 0, 0])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "a.png", transparency=transparency)
    assert np.asarray(decode(tmp_path / "a.png")).tolist() == [[[250, 10, 20], [255, 255, 255]]]


def test_transparent_colour_of_an_rgb_png_becomes_white(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), (9, 8, 7))
    image.putpixel((1, 0), (1, 2, 3))
    image.save(tmp_path / "a.png", transparency=(1, 2, 3))
    assert np.asarray(decode(tmp_path / "a.png")).tolist() == [[[9, 8, 7], [255, 255, 255]]]


@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, colours: Image.Image, orientation: int, ending: str) -> None:
    # how a camera stores an upright picture under each orientation
    stored = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a.transpose(1, 0, 2)[::-1, ::-1],
        8: lambda a: np.rot90(a, -1),
    }[orientation](np.asarray(colours))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if ending == "webp" else {}
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / f"a.{ending}", exif=exif, **options)
    image = decode(tmp_path / f"a.{ending}")
    assert image.size == colours.size
    assert difference(image, colours) == 0


def test_broken_exif_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(photo(exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fgarbage"))
    assert decode(tmp_path / "a.jpg").size == (160, 120)


def test_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode(tmp_path / "a.gif").getpixel((0, 0)) == (255, 0, 0)  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("lenient", [False, True])
def test_truncated_jpeg_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float, progressive: bool, lenient: bool
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", lenient)
    content = photo(progressive=progressive)
    path = tmp_path / "broken.jpg"
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnreadableImage) as error:
        decode(path)
    assert error.value.path == str(path)
    assert error.value.reason
    assert ImageFile.LOAD_TRUNCATED_IMAGES is lenient


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize(("side", "part"), [(None, 1), (77, 1), (76, 2), (39, 2), (38, 4), (20, 4), (19, 8), (1, 8)])
def test_a_jpeg_is_decoded_at_the_least_part_that_is_twice_as_long(
    tmp_path: Path, side: int | None, part: int, orientation: int
) -> None:
    shades = np.linspace(0, 255, 400).astype(np.uint8)[None, :, None].repeat(304, 0).repeat(3, 2)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(shades).save(path, exif=exif)
    image = decode(path, side)
    size = (400 // part, 304 // part)
    assert image.size == (size if orientation == 1 else size[::-1])
    assert side is None or min(image.size) >= 2 * side
    assert image.mode == "RGB"
    along = np.asarray(image).astype(float).mean(axis=(0 if orientation == 1 else 1, 2))
    np.testing.assert_allclose(along, np.linspace(0, 255, len(along)), atol=3)


@pytest.mark.parametrize("size", [(404, 304), (404, 300), (402, 300), (401, 304)])
@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
def test_a_jpeg_is_decoded_at_a_part_that_divides_its_size(tmp_path: Path, size: tuple[int, int], kind: str) -> None:
    path = tmp_path / "a.jpg"
    picture = Image.new("RGB", size, "red")
    picture.save(path, kind, **({"save_all": True, "append_images": [picture]} if kind == "MPO" else {}))
    with Image.open(path) as image:
        assert image.format == kind
    part = next(part for part in (8, 4, 2, 1) if not size[0] % part and not size[1] % part)
    assert decode(path, 9).size == (size[0] // part, size[1] // part)


def test_a_truncated_jpeg_is_refused_at_a_part_of_its_size_too(tmp_path: Path) -> None:
    content = photo()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableImage):
        decode(tmp_path / "a.jpg", 10)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "webp", "gif", "ppm", "jp2"])
def test_truncated_files_of_other_formats_are_refused(tmp_path: Path, ending: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise).save(path)
    decode(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableImage, match=f"a.{ending}"):
        decode(path)


def test_no_images_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "program.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    reasons = {
        "empty": "empty",
        "text": "not an image",
        "folder": "folder",
        "link": "no such file",
        "program": "not an image",
    }
    for name, reason in reasons.items():
        with pytest.raises(UnreadableImage) as error:
            decode(tmp_path / f"{name}.jpg")
        assert reason in error.value.reason


def test_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("L", (100, 100)).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4000)
    with pytest.raises(UnreadableImage, match="bomb"):
        decode(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 8000)  # Pillow only warns, and no warning leaks
    assert decode(tmp_path / "a.png").size == (100, 100)


def test_threads_leave_the_process_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    content = photo()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    (tmp_path / "b.jpg").write_bytes(content)
    filters, refused = list(warnings.filters), []

    def work() -> None:
        for _ in range(10):
            decode(tmp_path / "b.jpg")
            try:
                decode(tmp_path / "a.jpg")
            except UnreadableImage:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 40
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    assert list(warnings.filters) == filters


def test_error_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnreadableImage("a.jpg", "the file is empty")))
    assert (error.path, error.reason) == ("a.jpg", "the file is empty")


def test_arrays_and_tensors_become_pictures(colours: Image.Image) -> None:
    import torch

    array = np.asarray(colours)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    for values in (array, tensor, array / 255, tensor / 255, tensor.double() / 255, tensor.to(torch.int64)):
        assert difference(picture(values), colours) == 0
    assert difference(picture((tensor / 255).bfloat16()), colours) <= 1
    assert np.asarray(picture(array[..., 0])).shape == (32, 48, 3)
    assert np.asarray(picture(tensor[:1])).shape == (32, 48, 3)
    assert np.asarray(picture(array > 100)).max() == 255
    clear = np.concatenate([array, np.zeros_like(array[..., :1])], axis=-1)
    assert np.asarray(picture(clear)).min() == 255
    deep = (array[..., 0].astype(np.uint16)) * 257
    assert difference(picture(deep), colours.getchannel("R").convert("RGB")) == 0
    three = torch.arange(27, dtype=torch.uint8).reshape(3, 3, 3)  # ambiguous: a tensor's channels come first
    assert np.asarray(picture(three))[0, 0].tolist() == [0, 9, 18]
    assert np.asarray(picture(three.numpy()))[0, 0].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((5, 8, 9), np.uint8), r"shape \(5, 8, 9\)"),
        (np.zeros((2, 3, 8, 9), np.uint8), "shape"),
        (np.full((3, 8, 8), -2.0), "Normalize"),
        (np.full((3, 8, 8), 1.7), "Normalize"),
        (np.full((3, 8, 8), 200.0), "divide by 255"),
        (np.full((3, 8, 8), np.nan), "finite"),
        (np.full((3, 8, 8), 300), "0 to 255"),
        (np.full((3, 8, 8), 1j), "complex"),
    ],
)
def test_what_is_no_picture_is_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        picture(values, "image 000003")
