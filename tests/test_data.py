"""Image sources: ids, labels, fingerprints, bad files, and how pictures become pixels."""

import os
import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageOps
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

import mfv.data
from mfv.data import (
    BadImage,
    FolderImages,
    ImageNetImages,
    ImagenetteImages,
    Images,
    ImageSource,
    InMemoryImages,
    PhotoCrops,
    Preprocess,
    SyntheticImages,
    as_source,
    check_bad_share,
    crop_resized,
    to_tensor,
)
from mfv.data.loading import Batches
from mfv.errors import MfvError, UnreadableImage

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "conf" / "data").glob("*.yaml"))


def write(path: Path, shade: int = 100, size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 255 - shade, 40)).save(path, "JPEG" if path.suffix != ".png" else "PNG")
    return path


def labels(source: ImageSource) -> dict[str, str | None]:
    return dict(zip(source.ids, source.labels, strict=True))


# pixels


def twin(size: int, resize: int) -> v2.Transform:
    return v2.Compose([v2.PILToTensor(), v2.Resize(resize, antialias=True), v2.CenterCrop(size)])


@pytest.mark.parametrize(("size", "resize"), [(224, 256), (227, 256), (224, 232), (224, 224), (299, 342), (64, 500)])
def test_to_tensor_is_torchvisions_evaluation_transform(size: int, resize: int) -> None:
    pillows = transforms.Compose([transforms.Resize(resize), transforms.CenterCrop(size), transforms.PILToTensor()])
    for photo in ("coffee", "cat", "retina"):
        whole = PhotoCrops(scales=[1.0], photos=[photo]).load(0)
        for image in (whole, whole.crop((0, 0, whole.width, whole.height * 2 // 3))):
            pixels, expected = to_tensor(image, size, resize), twin(size, resize)(image)
            assert pixels.shape == (3, size, size)
            assert pixels.dtype == torch.float32
            assert pixels.is_contiguous()
            if "AVX" in torch.backends.cpu.get_cpu_capability():  # elsewhere torchvision scales floats and rounds
                assert torch.equal(pixels, expected / 255)
            apart = (pixels * 255 - pillows(image)).abs()
            assert apart.max() < 3
            assert (apart > 0.5).float().mean() < 0.02


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (10, 12), (1, 20000)])
def test_small_and_long_pictures_are_scaled_up(shape: tuple[int, int]) -> None:
    pixels = to_tensor(Image.new("RGB", shape, (255, 0, 51)), 64, 70)
    assert pixels.shape == (3, 64, 64)
    torch.testing.assert_close(pixels[:, 10, 10], torch.tensor([1.0, 0.0, 0.2]))


def test_the_centre_is_cut_out() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    assert to_tensor(image, 100, 100).min() == 1


def test_preprocess_describes_itself_and_refuses_nonsense() -> None:
    preprocess = Preprocess(size=224, resize=256)
    assert preprocess == pickle.loads(pickle.dumps(preprocess))
    assert preprocess.description == (
        "RGB, short side 256 (bilinear, antialiased, as bytes; JPEGs decoded to 2 times that or more), centre 224"
    )
    assert preprocess(Image.new("RGB", (9, 9))).shape == (3, 224, 224)
    for size, resize in ((256, 224), (0, 10)):
        with pytest.raises(MfvError, match="resize"):
            Preprocess(size, resize)
        with pytest.raises(MfvError, match="resize"):
            to_tensor(Image.new("RGB", (9, 9)), size, resize)


def test_crop_resized() -> None:
    pixels = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))
    before = pixels.clone()
    assert torch.equal(crop_resized(pixels, (5, 7, 16, 16), 16), pixels[:, 5:21, 7:23])
    assert crop_resized(pixels, (0, 0, 30, 20), 24).shape == (3, 24, 24)
    halves = crop_resized(pixels, (0, 0, 40, 40), 20)
    pillow = transforms.ToTensor()(
        transforms.ToPILImage()(pixels[:, :40, :40]).resize((20, 20), Image.Resampling.BILINEAR)
    )
    assert (halves - pillow).abs().max() < 2.5 / 255
    # beyond the edge the picture's own edge goes on, and the inside keeps its place
    over = crop_resized(pixels, (-4, 45, 10, 10), 10)
    assert torch.equal(over[:, 4:, :5], pixels[:, :6, 45:])
    assert torch.equal(over[:, 0, :5], pixels[:, 0, 45:])
    assert torch.equal(over[:, 4:, 9], pixels[:, :6, 49])
    assert torch.equal(pixels, before)
    for box in ((40, 0, 5, 5), (0, -5, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(MfvError, match="box"):
            crop_resized(pixels, box, 8)


# folders


def test_flat_folder(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.jpeg", ".hidden.jpg", "n03032252_7.png"):
        write(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    source = FolderImages(tmp_path)
    assert labels(source) == {"a.jpeg": None, "b.JPG": None, "n03032252_7.png": "n03032252"}
    assert source.root == tmp_path
    assert source.load(0).size == source[0].size == (20, 16)
    assert [source.index_of(id) for id in source.ids] == [0, 1, 2]
    for one in ([".PNG"], "png"):
        assert FolderImages(tmp_path, extensions=one).ids == ("n03032252_7.png",)
    with pytest.raises(MfvError, match=r"did you mean .*a\.jpeg"):
        source.index_of("a.jpg")


def test_labels_of_trees(tmp_path: Path) -> None:
    for name in (
        "cat/1.jpg",
        "dog/deep/2.jpg",
        "7/3.jpg",
        "7/n02085620_1.jpg",
        "n02085620-Chihuahua/sub/4.jpg",
    ):
        write(tmp_path / name)
    write(tmp_path / ".cache" / "5.jpg")
    assert labels(FolderImages(tmp_path)) == {
        "7/3.jpg": None,
        "7/n02085620_1.jpg": "n02085620",
        "cat/1.jpg": "cat",
        "dog/deep/2.jpg": "deep",
        "n02085620-Chihuahua/sub/4.jpg": "n02085620",
    }
    assert set(FolderImages(tmp_path, labels="none").labels) == {None}
    assert labels(FolderImages(tmp_path, labels="folder"))["7/3.jpg"] == "7"
    write(tmp_path / "loose.jpg")  # now the tree is no longer one of classes
    assert labels(FolderImages(tmp_path))["cat/1.jpg"] is None
    with pytest.raises(MfvError, match=r"data\.labels"):
        FolderImages(tmp_path, labels="colour")


def test_nearest_synset_wins_and_the_roots_name_counts_last(tmp_path: Path) -> None:
    root = tmp_path / "n00000001"
    for name in ("x.jpg", "n00000002_x.jpg", "n00000003/n00000004/n00000005_x.jpg"):
        write(root / name)
    assert list(FolderImages(root).labels) == ["n00000002", "n00000004", "n00000001"]


def test_links_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere" / "a.jpg")
    root = tmp_path / "root"
    write(root / "here" / "b.jpg")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    (root / "c.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
    (root / "here" / "up").symlink_to(root)
    (root / "self").symlink_to(root / "self")
    assert FolderImages(root).ids == ("c.jpg", "here/b.jpg", "link/a.jpg")


def test_pictures_of_ones_own_results_are_no_photographs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path / "a.jpg")
    run = tmp_path / "outputs" / "run"
    write(run / "facets" / "facet_00.png")
    (run / "facets.json").write_text("{}")
    with caplog.at_level("INFO", logger="mfv"):
        assert FolderImages(tmp_path).ids == ("a.jpg",)
    assert f"{tmp_path}: folders of mfv's own results are left out (1, as {run})" in caplog.text
    assert FolderImages(run).ids == ("facets/facet_00.png",)  # where they are asked for
    with pytest.raises(MfvError, match="also in sub-folders but for those of mfv's own results"):
        FolderImages(tmp_path / "outputs")


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    for index in range(3):
        write(tmp_path / "a" / f"{index}.jpg", index)
    first = FolderImages(tmp_path / "a").fingerprint
    assert FolderImages(tmp_path / "a").fingerprint == first
    assert pickle.loads(pickle.dumps(FolderImages(tmp_path / "a"))).fingerprint == first
    shutil.move(tmp_path / "a", tmp_path / "b")  # another place, the same images
    assert FolderImages(tmp_path / "b").fingerprint == first
    os.utime(tmp_path / "b" / "1.jpg", ns=(5, 5))
    changed = FolderImages(tmp_path / "b").fingerprint
    (tmp_path / "b" / "1.jpg").rename(tmp_path / "b" / "9.jpg")
    assert len({first, changed, FolderImages(tmp_path / "b").fingerprint}) == 3
    source = FolderImages(tmp_path / "b")
    (tmp_path / "b" / "9.jpg").unlink()  # gone since it was listed
    assert source.fingerprint
    with pytest.raises(UnreadableImage, match="no such file"):
        source.load(source.index_of("9.jpg"))


@pytest.mark.parametrize("kind", ["missing", "file", "empty"])
@pytest.mark.parametrize("make", [FolderImages, ImageNetImages, ImagenetteImages])
def test_wrong_root_names_the_path_and_the_remedy(tmp_path: Path, kind: str, make: Any) -> None:
    root = tmp_path / kind
    if kind == "file":
        root.touch()
    elif kind == "empty":
        root.mkdir()
    with pytest.raises(MfvError, match=r"data\.root=") as error:
        make(root)
    assert str(root) in str(error.value)


def test_file_name_that_is_no_text_is_explained(tmp_path: Path) -> None:
    try:
        write(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")))
    except (OSError, UnicodeError):
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(MfvError, match="UTF-8"):
        FolderImages(tmp_path)


def test_movie_theater_photos_have_their_synset(shared_data: Path) -> None:
    source = FolderImages(shared_data / "movie-theater")
    assert len(source) == 150
    assert set(source.labels) == {"n03032252"}
    assert {id.split("/")[0] for id in source.ids} == set("0123456789")


def test_imagenet_sample_has_a_photo_per_synset(shared_data: Path) -> None:
    source = FolderImages(shared_data / "imagenet-sample")
    assert len(source) == len(set(source.labels)) == 1000
    assert all(id.startswith(f"{label}/") for id, label in labels(source).items())
    assert source.load(0).mode == "RGB"


# ImageNet and Imagenette


def test_imagenet_in_synset_folders(tmp_path: Path) -> None:
    write(tmp_path / "train" / "n01440764" / "n01440764_1.JPEG")
    write(tmp_path / "train" / "n03032252" / "n03032252_2.JPEG")
    write(tmp_path / "val" / "n03032252" / "ILSVRC2012_val_00000001.JPEG")
    source = ImageNetImages(tmp_path)
    assert labels(source) == {
        "train/n01440764/n01440764_1.JPEG": "n01440764",
        "train/n03032252/n03032252_2.JPEG": "n03032252",
    }
    assert source.load(0).mode == "RGB"
    assert list(ImageNetImages(tmp_path, split="val").labels) == ["n03032252"]
    with pytest.raises(MfvError, match=r"data\.split"):
        ImageNetImages(tmp_path, split="test")
    write(tmp_path / "train" / "cats" / "a.JPEG")
    with pytest.raises(MfvError, match="synset"):
        ImageNetImages(tmp_path)


def test_imagenet_as_kaggle_gives_it(tmp_path: Path) -> None:
    inner = tmp_path / "ILSVRC" / "Data" / "CLS-LOC"
    for number in (1, 2):
        write(inner / "val" / f"ILSVRC2012_val_0000000{number}.JPEG")
    with pytest.raises(MfvError, match=r"LOC_val_solution\.csv"):
        ImageNetImages(tmp_path, split="val")
    table = tmp_path / "LOC_val_solution.csv"
    rows = ["ImageId,PredictionString", "ILSVRC2012_val_00000002,n03032252 85 1 499 272 n03032252 1 2 3 4"]
    table.write_text("\n".join(rows))
    with pytest.raises(MfvError, match="no class for 1 of the 2"):
        ImageNetImages(tmp_path, split="val")
    table.write_text("\n".join([*rows, "ILSVRC2012_val_00000001,n01440764 1 2 3 4"]))
    for root in (tmp_path, inner):
        assert list(ImageNetImages(root, split="val").labels) == ["n01440764", "n03032252"]
    table.write_text("image;class\n1;2\n")
    with pytest.raises(MfvError, match="columns"):
        ImageNetImages(tmp_path, split="val")


def test_imagenette(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MfvError, match=r"data\.download=true"):
        ImagenetteImages(tmp_path)
    write(tmp_path / "imagenette2-320" / "train" / "n01440764" / "n01440764_1.JPEG")
    source = ImagenetteImages(tmp_path, download=True)  # it is there: nothing is fetched
    assert labels(source) == {"train/n01440764/n01440764_1.JPEG": "n01440764"}
    with pytest.raises(MfvError, match="broken off"):
        ImagenetteImages(tmp_path, split="val")
    for settings in ({"split": "test"}, {"size": "64px"}):
        with pytest.raises(MfvError, match=next(iter(settings))):
            ImagenetteImages(tmp_path, **settings)

    def unreachable(*arguments: object, **options: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.imagenette.download_and_extract_archive", unreachable)
    with pytest.raises(MfvError, match=r"no route to host.*imagenette2-160\.tgz"):
        ImagenetteImages(tmp_path / "new", size="160px", download=True)


# synthetic


def test_synthetic_images_depend_on_seed_and_number_only() -> None:
    source = SyntheticImages(count=24, size=32, seed=3)
    assert Counter(source.labels) == dict.fromkeys(("stripes", "checker", "rings", "discs", "gradient", "noise"), 4)
    longer = SyntheticImages(count=48, size=32, seed=3)
    images = [source.load(index).tobytes() for index in range(24)]
    assert images == [longer.load(index).tobytes() for index in range(24)]
    assert len(set(images)) == 24
    assert SyntheticImages(count=24, size=32, seed=4).load(0).tobytes() != images[0]
    assert source.load(-1).tobytes() == images[23]
    assert source.load(0).size == (32, 32)
    assert min(np.asarray(source.load(index)).std(axis=(0, 1)).max() for index in range(24)) > 15
    fingerprints = {
        each.fingerprint
        for each in (
            source,
            longer,
            SyntheticImages(24, size=32, seed=4),
            SyntheticImages(24, size=40, seed=3),
        )
    }
    assert len(fingerprints) == 4
    assert SyntheticImages(count=24, size=32, seed=3).fingerprint == source.fingerprint


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["stripe"]}, "did you mean stripes"),
        ({"kinds": []}, "data.kinds"),
        ({"count": 0}, "data.count"),
        ({"size": 2}, "data.size"),
        ({"seed": -1}, "data.seed"),
    ],
)
def test_synthetic_settings_are_checked(settings: dict, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        SyntheticImages(**settings)


# a notebook's own


class Pairs(Dataset):
    """A dataset of (picture, number)."""

    classes = ("cat", "dog")
    targets = (0, 1, 0)

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new("L", (8, 8), 10 * index), self.targets[index]


class Endless(IterableDataset):
    """A dataset without numbers."""

    def __iter__(self) -> Any:
        yield torch.zeros(3, 8, 8)


def test_in_memory_kinds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", 77)
    expected = Image.open(path).convert("RGB")
    array = np.array(expected)
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    items = [
        expected,
        (expected, "cat"),
        tensor,
        tensor / 255,
        array,
        (array, 3),
        str(path),
        Image.open(path),
    ]
    source = as_source(items)
    assert isinstance(source, InMemoryImages)
    assert source.ids == tuple(f"{index:06d}" for index in range(8))
    assert source.labels == (None, "cat", None, None, None, None, None, None)
    assert source.root is None
    for index in range(8):
        assert source.load(index).tobytes() == expected.tobytes()
        assert source.load(index).mode == "RGB"


def test_whole_tensors_arrays_and_tensor_datasets() -> None:
    pixels = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    grey = (pixels[:, :1] * 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()
    for images in (pixels, TensorDataset(pixels, torch.arange(4)), grey):
        source = as_source(images)
        assert len(source) == 4
        assert source.load(3).size == (8, 8)
    loaded = transforms.ToTensor()(as_source(pixels).load(2))
    assert (loaded - pixels[2]).abs().max() <= 0.51 / 255


def test_datasets_labels_come_from_their_classes() -> None:
    assert as_source(Pairs()).labels == ("cat", "dog", "cat")
    assert as_source(Subset(Pairs(), [1, 2])).labels == ("dog", "cat")
    assert as_source(Pairs()).load(2).getpixel((0, 0)) == (20, 20, 20)


def test_image_folder_dataset_keeps_its_paths(tmp_path: Path) -> None:
    for name in ("n03032252/1.jpg", "zebra/2.jpg", "zebra/3.jpg"):
        write(tmp_path / name)
    source = as_source(ImageFolder(str(tmp_path)))
    assert labels(source) == {"n03032252/1.jpg": "n03032252", "zebra/2.jpg": "zebra", "zebra/3.jpg": "zebra"}
    assert source.root == tmp_path
    assert source.fingerprint == FolderImages(tmp_path).fingerprint
    part = as_source(Subset(Subset(ImageFolder(str(tmp_path)), [2, 0]), [1]))
    assert labels(part) == {"n03032252/1.jpg": "n03032252"}
    assert part.load(0).size == (20, 16)
    with_own = as_source(ImageFolder(str(tmp_path), transform=transforms.Resize(8)))
    assert with_own.load(0).size == (10, 8)
    assert with_own.ids == source.ids
    normalized = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.1] * 3)])
    with pytest.raises(MfvError, match="Normalize"):
        as_source(ImageFolder(str(tmp_path), transform=normalized))
    (tmp_path / "zebra" / "2.jpg").write_bytes(b"broken")
    for transform in (None, transforms.Resize(8)):
        with pytest.raises(UnreadableImage, match=r"zebra/2\.jpg"):
            as_source(ImageFolder(str(tmp_path), transform=transform)).load(1)


def test_list_of_paths_keeps_them(tmp_path: Path) -> None:
    paths = [write(tmp_path / "x" / "n03032252_1.jpg"), write(tmp_path / "y" / "2.jpg")]
    source = as_source(paths)
    assert source.root == tmp_path
    assert labels(source) == {"x/n03032252_1.jpg": "n03032252", "y/2.jpg": "y"}
    assert source.load(1).size == (20, 16)
    assert as_source([str(paths[0])] * 2).ids == ("000000", "000001")


def test_as_source_passes_sources_on_and_opens_folders(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    source = FolderImages(tmp_path)
    assert as_source(source) is source
    assert as_source(str(tmp_path)).ids == as_source(tmp_path).ids == ("a.jpg",)


def test_in_memory_fingerprint_is_that_of_the_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [Image.new("RGB", (8, 8), (value, 0, 0)) for value in range(3)]
    first = as_source(images).fingerprint
    assert first == as_source(list(images)).fingerprint
    images[2].putpixel((0, 0), (9, 9, 9))
    assert as_source(images).fingerprint != first
    assert as_source(images[:2]).fingerprint != first
    monkeypatch.setattr("mfv.data.memory.HASHED", 2)
    assert as_source(images).fingerprint is None


def test_images_that_are_others_at_every_reading_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    class Flipped(Pairs):
        def __getitem__(self, index: int) -> tuple[Image.Image, int]:
            picture = Image.fromarray(np.random.default_rng(index).integers(0, 255, (8, 8, 3), dtype=np.uint8))
            return transforms.RandomHorizontalFlip()(picture), 0

    torch.manual_seed(0)
    with caplog.at_level("WARNING", "mfv"):
        as_source(Pairs())
        assert not caplog.records
        as_source(Flipped())
    assert "another one each time that it is read, as of a dataset with random transforms" in caplog.text


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "empty list"),
        (Endless(), "list"),
        ((image for image in ()), "generator"),
        (Image.new("RGB", (8, 8)), "several"),
        (torch.zeros(3, 8, 8), r"\(3, 8, 8\)"),
        ([{"image": 1}], "dict"),
        ([torch.full((3, 8, 8), -2.0)], "image 000000 .*Normalize"),
        ([np.zeros((5, 8, 8))], "shape"),
        (torch.zeros(2, 7, 8, 8), "shape"),
        ("/nowhere/at/all", r"^images=/nowhere/at/all does not exist"),
    ],
)
def test_wrong_images_are_explained(images: Any, message: str) -> None:
    with pytest.raises(MfvError, match=message):
        as_source(images)


# loading


@pytest.fixture
def mixed(tmp_path: Path) -> FolderImages:
    """Twenty images, of which 3, 7 and 8 are broken."""
    for index in range(20):
        path = write(tmp_path / f"{index:02d}.jpg", shade=index * 10, size=(200, 160))
        if index in (3, 7):
            path.write_bytes(path.read_bytes()[:300])
    (tmp_path / "08.jpg").write_bytes(b"")
    return FolderImages(tmp_path)


def test_large_jpegs_are_decoded_at_a_part_of_their_size(tmp_path: Path) -> None:
    photo = PhotoCrops(scales=[1.0], photos=["coffee"]).load(0).resize((1600, 1200))
    photo.save(tmp_path / "a.jpg", quality=90)
    photo.save(tmp_path / "b.png")
    preprocess = Preprocess(224, 232)
    for source in (FolderImages(tmp_path), InMemoryImages([tmp_path / "a.jpg", tmp_path / "b.png"])):
        assert [source.load(index).size for index in range(2)] == [(1600, 1200)] * 2
        assert [source.load_for(index, 232).size for index in range(2)] == [(800, 600), (1600, 1200)]
        assert source.load_for(0, 301).size == (1600, 1200)
        images = Images(source, preprocess)
        assert images.square(0).untyped_storage().nbytes() == 3 * 224**2  # nothing is kept of what it was cut out of
        for index in range(2):
            pixels = images.batch([index]).pixels[0]
            assert torch.equal(pixels, images.square(index))
            whole = preprocess.bytes(source.load(index))
            assert (pixels.float() - whole.float()).abs().mean() < 1
        assert torch.equal(images.square(0), preprocess.bytes(source.load_for(0, 232)))


def test_who_loads_pictures_another_way_gets_them_so(tmp_path: Path) -> None:
    PhotoCrops(scales=[1.0], photos=["coffee"]).load(0).resize((1600, 1200)).save(tmp_path / "a.jpg")

    class MirroredFolder(FolderImages):
        def load(self, index: int) -> Image.Image:
            return ImageOps.mirror(super().load(index))

    class MirroredList(InMemoryImages):
        def load(self, index: int) -> Image.Image:
            return ImageOps.mirror(super().load(index))

    for source in (MirroredFolder(tmp_path), MirroredList([tmp_path / "a.jpg"])):
        assert np.array_equal(source.load_for(0, 232), source.load(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_collects_bad_images_and_goes_on(mixed: FolderImages, workers: int) -> None:
    rows = [range(begin, begin + 4) for begin in range(0, 20, 4)]
    loader = DataLoader(Batches(Images(mixed, Preprocess(32, 36)), rows), batch_size=None, num_workers=workers)
    batches = list(loader)
    bad = [image for batch in batches for image in batch.bad]
    assert [image.number for image in bad] == [3, 7, 8]
    assert [Path(image.path).name for image in bad] == ["03.jpg", "07.jpg", "08.jpg"]
    assert bad[2].reason == "the file is empty"
    assert torch.cat([batch.indices for batch in batches]).tolist() == [
        index for index in range(20) if index not in (3, 7, 8)
    ]
    for batch in batches:
        assert batch.indices.dtype == torch.int64
        assert batch.pixels.shape == (len(batch.indices), 3, 32, 32)
        assert batch.pixels.dtype == torch.uint8
        shade = batch.pixels.float().mean(dim=(2, 3))[:, 0]
        torch.testing.assert_close(shade, batch.indices * 10.0, atol=2, rtol=0)
    with pytest.raises(MfvError, match="3 of 20") as error:
        check_bad_share(bad, 20, mixed.max_bad_share)
    assert "08.jpg: the file is empty" in str(error.value)
    assert "data.max_bad_share=0.15" in str(error.value)
    check_bad_share(bad, 20, 0.15)


def test_batch_of_bad_images_only(mixed: FolderImages) -> None:
    indices, pixels, bad = Images(mixed, Preprocess(32, 36)).batch([8])
    assert indices.shape == (0,)
    assert pixels.shape[0] == 0
    assert bad == [(8, bad[0].path, "the file is empty")]


def test_share_of_bad_images() -> None:
    bad = [BadImage(index, f"{index}.jpg", "it is a folder") for index in range(7)]
    check_bad_share([], 0, 0.0)
    check_bad_share(bad, 700, 0.01)
    with pytest.raises(MfvError, match=r"(?s)0\.jpg.*4\.jpg.*and 2 more.*data\.max_bad_share=0\.011"):
        check_bad_share(bad, 699, 0.01)
    with pytest.raises(MfvError, match="none of the 7 images"):
        check_bad_share(bad, 7, 1.0)


# configuration


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_name_every_parameter_and_agree_with_the_defaults(path: Path) -> None:
    import inspect

    text = path.read_text(encoding="utf-8")
    assert text.startswith(f"# data={path.stem}")
    settings = yaml.safe_load(text)
    module, _, name = settings.pop("_target_").rpartition(".")
    assert module == "mfv.data"
    parameters = inspect.signature(getattr(mfv.data, name)).parameters
    assert list(settings) == list(parameters)
    for key, value in settings.items():
        default = parameters[key].default
        assert value == ("???" if default is inspect.Parameter.empty else _plain(default)), key


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
