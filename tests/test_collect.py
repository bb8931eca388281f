"""Collecting: bad files are listed and skipped, too many stop the run, and the stored numbers are the network's own."""

import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mfv.activations import collector
from mfv.activations.collector import Wanted, collect_layers
from mfv.activations.store import ActivationStore
from mfv.activations.values import as_codes, unit_values
from mfv.data import FolderImages, InMemoryImages, PhotoCrops, Preprocess
from mfv.data.source import ImageSource
from mfv.errors import MfvError
from mfv.models.target import TargetModel
from mfv.models.torchvision import torchvision_model

LAYER = "features.18.1"


@pytest.fixture(scope="module")
def model() -> TargetModel:
    return torchvision_model("mobilenet_v2")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine photographs and a truncated one."""
    source = PhotoCrops(photos=["coffee"])
    root = tmp_path / "photos"
    root.mkdir()
    for row in range(10):
        source.load(row).save(root / f"{row}.jpg")
    whole = (root / "4.jpg").read_bytes()
    (root / "4.jpg").write_bytes(whole[: len(whole) // 2])
    return root


def collected(model: TargetModel, folder: Path, share: float, workers: int = 0) -> ActivationStore:
    source = FolderImages(folder, max_bad_share=share)
    (store,) = collect_layers(
        model, [Wanted(LAYER)], source, folder.parent / "store", batch_size=4, workers=workers, accelerator="cpu",
        progress=False,
    )  # fmt: skip
    return store


def stores_of(model: TargetModel, layers: list[Wanted], source: ImageSource, root: Path) -> list[ActivationStore]:
    return collect_layers(model, layers, source, root, batch_size=8, accelerator="cpu", progress=False)


def test_the_store_holds_what_the_network_gives(model: TargetModel, folder: Path) -> None:
    store = collected(model, folder, 0.5)
    source, preprocess = FolderImages(folder), Preprocess(model.input_size, model.resize)
    rows = store.readable()
    assert rows.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9]
    pixels = torch.stack([preprocess(source.load(int(row))) for row in rows])
    with torch.inference_mode():
        activations = model.activations(pixels, [LAYER, model.code_layer])
    values, where = unit_values(activations[LAYER])
    assert where is not None
    np.testing.assert_allclose(
        np.stack([store.activations(unit) for unit in range(values.shape[1])], 1)[rows], values.numpy(), atol=1e-3
    )
    np.testing.assert_allclose(store.codes(rows), as_codes(activations[model.code_layer]).numpy(), atol=5e-3)
    for unit in range(0, values.shape[1], 100):
        assert (store.positions(rows, unit) == where[:, unit].numpy()).mean() > 0.8  # but for ties


def test_a_bad_image_is_listed_with_its_reason(model: TargetModel, folder: Path) -> None:
    store = collected(model, folder, 0.5, workers=2)
    assert [(entry.row, Path(entry.path).name) for entry in store.skipped] == [(4, "4.jpg")]
    assert "truncated" in store.skipped[0].reason
    assert np.isnan(store.codes([4])).all()


def test_too_many_bad_images_stop_the_run(model: TargetModel, folder: Path) -> None:
    with pytest.raises(MfvError, match=r"1 of 10 images cannot be read.*max_bad_share=0.01(.|\n)*4\.jpg"):
        collected(model, folder, 0.01)


def test_a_store_of_other_images_is_not_touched(tmp_path: Path) -> None:
    ActivationStore(tmp_path, {"images": "one"}, 10)
    with pytest.raises(MfvError, match="holds something else"):
        ActivationStore(tmp_path, {"images": "two"}, 10)


def stored(store: ActivationStore) -> list[bytes]:
    """Return all that is kept of a layer, its values and the codes."""
    return [of.path(shard).read_bytes() for of in (store, store.code_store) for shard in range(of.shards)]


def test_images_that_cannot_be_told_apart_cheaply_are_never_taken_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfv.data.memory.HASHED", 3)
    network = TargetModel(torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.ReLU()), input_size=16)
    for fill in (10, 200):
        pictures = [np.full((16, 16, 3), fill + row, np.uint8) for row in range(4)]
        source = InMemoryImages(pictures)
        assert source.fingerprint is None
        (store,) = collect_layers(network, [Wanted("0")], source, tmp_path, progress=False)
        expected = network.activations(torch.full((1, 3, 16, 16), fill / 255), ["0"])["0"].amax((2, 3))
        assert np.allclose(store.activations(0)[0], expected[0, 0].item(), atol=1e-4)


def test_four_processes_write_what_one_writes(
    model: TargetModel,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    threads_of: Callable[[int], AbstractContextManager[None]],
) -> None:
    """Three shards of four, four and two images: uneven, and fewer than four processes."""
    monkeypatch.setattr("mfv.activations.collector.fitting_shard_rows", lambda rows: 4)
    source = FolderImages(folder, max_bad_share=0.5)
    with threads_of(4):
        alone, together = (
            collect_layers(
                model, [Wanted("features.16"), Wanted("classifier.1")], source, folder.parent / f"by{devices}",
                batch_size=4, accelerator="cpu", devices=devices, progress=False,
            )
            for devices in (1, 4)
        )  # fmt: skip
    for by_one, by_several in zip(alone, together, strict=True):
        assert by_several.shards == 3
        assert [entry.row for entry in by_several.skipped] == [4]
        assert stored(by_several) == stored(by_one)


def test_a_mistake_in_a_started_process_is_one_message(model: TargetModel, folder: Path) -> None:
    source = FolderImages(folder)
    with pytest.raises(MfvError, match=r"^1 of 10 images cannot be read(.|\n)*max_bad_share=0\.1$"):
        collect_layers(
            model, [Wanted(LAYER)], source, folder.parent / "store", accelerator="cpu", devices=2, progress=False
        )


def test_what_the_machine_lacks_is_named(model: TargetModel, folder: Path) -> None:
    with pytest.raises(
        MfvError, match=r"machine\.accelerator=gpux with machine\.devices=1: .*; auto takes what there is"
    ):
        collect_layers(model, [Wanted(LAYER)], FolderImages(folder), folder.parent / "store", accelerator="gpux")
    with pytest.raises(MfvError, match=r"machine\.workers is -1; it is a number of processes that decode"):
        collect_layers(model, [Wanted(LAYER)], FolderImages(folder), folder.parent / "store", workers=-1)


def test_a_shard_of_unreadable_images_is_as_wide_as_the_others(
    model: TargetModel, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfv.activations.collector.fitting_shard_rows", lambda rows: 4)
    for row in range(4):
        (folder / f"{row}.jpg").write_bytes(b"none")
    store = collected(model, folder, 0.9)
    assert [entry.row for entry in store.skipped] == [0, 1, 2, 3, 4]
    assert np.isnan(store.activations(7)[:5]).all()
    assert np.isfinite(store.activations(7)[5:]).all()
    assert store.positions([5, 6], 7) is not None


class Counting(PhotoCrops):
    """Counts how often images are loaded."""

    loaded = 0

    def load(self, index: int) -> Image.Image:
        Counting.loaded += 1
        return super().load(index)


LAYERS = [Wanted("features.7"), Wanted("features.16"), Wanted("classifier.1"), Wanted("features.7", "center")]
UNFOLDED = Wanted("features.18.0")  # a convolution into which the others' network has folded a batch norm


def test_one_pass_collects_several_layers_as_each_alone(model: TargetModel, tmp_path: Path) -> None:
    source = Counting(photos=["coffee"], scales=(0.8, 0.5))
    images = len(source)
    Counting.loaded = 0
    together = stores_of(model, LAYERS, source, tmp_path / "together")
    assert Counting.loaded == images
    assert len({store.code_store.directory for store in together}) == 1
    for number, (wanted, store) in enumerate(zip(LAYERS, together, strict=True)):
        (alone,) = stores_of(model, [wanted], source, tmp_path / f"alone {number}")
        assert stored(store) == stored(alone), wanted
        assert store.directory.name == alone.directory.name
    Counting.loaded = 0
    layers = [*LAYERS[:2], UNFOLDED, Wanted("features.3.conv.0.0")]
    together = stores_of(model, layers, source, tmp_path / "two passes")
    assert Counting.loaded == 2 * images
    first, second, third, fourth = (store.code_store.directory for store in together)
    assert first == second != third == fourth
    (alone,) = stores_of(model, [UNFOLDED], source, tmp_path / "alone unfolded")
    assert stored(together[2]) == stored(alone)
    assert stored(together[0]) == stored(stores_of(model, LAYERS[:1], source, tmp_path / "alone 0")[0])


def test_codes_that_another_layer_has_brought_are_not_written_again(model: TargetModel, tmp_path: Path) -> None:
    source = Counting(photos=["coffee"], scales=(0.8, 0.5))
    (first,) = stores_of(model, LAYERS[:1], source, tmp_path)
    files = [first.code_store.path(shard) for shard in range(first.code_store.shards)]
    before = [file.stat().st_mtime_ns for file in files]
    _, second = stores_of(model, LAYERS[:2], source, tmp_path)
    assert second.code_store.directory == first.code_store.directory
    assert [file.stat().st_mtime_ns for file in files] == before
    assert len(list(tmp_path.glob("*/manifest.json"))) == 3


def test_codes_that_are_gone_are_collected_again(model: TargetModel, tmp_path: Path) -> None:
    source = Counting(photos=["coffee"], scales=(0.8, 0.5))
    (store,) = stores_of(model, [UNFOLDED], source, tmp_path)
    before = stored(store)
    shutil.rmtree(store.code_store.directory)
    Counting.loaded = 0
    (again,) = stores_of(model, [UNFOLDED], source, tmp_path)
    assert Counting.loaded == len(source)
    assert stored(again) == before


def test_only_what_a_layer_misses_is_collected(
    model: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfv.activations.collector.fitting_shard_rows", lambda rows: 8)
    source = Counting(photos=["coffee"], scales=(0.8, 0.5))
    whole = stores_of(model, LAYERS[:3], source, tmp_path)
    kept = [stored(store) for store in whole]
    assert whole[0].shards > 2
    whole[0].path(0).unlink()
    whole[2].path(0).unlink()
    whole[2].path(2).unlink()
    whole[1].code_store.path(2).unlink()
    whole[1].code_store.path(1).unlink()
    Counting.loaded = 0
    again = stores_of(model, LAYERS[:3], source, tmp_path)
    assert Counting.loaded == sum(len(whole[0].rows_of(shard)) for shard in (0, 1, 2))
    assert [stored(store) for store in again] == kept
    Counting.loaded = 0
    stores_of(model, LAYERS[:3], source, tmp_path)
    assert Counting.loaded == 0


def test_layers_whose_stores_have_shards_of_other_sizes_are_collected_too(
    model: TargetModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of another version: a store keeps the size of its shards."""
    source = PhotoCrops(photos=["coffee"], scales=(0.8, 0.5))
    monkeypatch.setattr("mfv.activations.collector.fitting_shard_rows", lambda rows: 8)
    (older,) = stores_of(model, LAYERS[:1], source, tmp_path)
    older.path(1).unlink()
    monkeypatch.setattr("mfv.activations.collector.fitting_shard_rows", lambda rows: 16)
    found = stores_of(model, LAYERS[:2], source, tmp_path)
    assert [store.shard_rows for store in found] == [8, 16]
    assert all(store.complete for store in found)


def test_bad_images_are_skipped_in_every_layer_and_said_once(
    model: TargetModel, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = FolderImages(folder, max_bad_share=0.5)
    with caplog.at_level("WARNING", logger="mfv"):
        stores = stores_of(model, LAYERS[:3], source, folder.parent / "store")
    assert [[entry.row for entry in store.skipped] for store in stores] == [[4]] * 3
    assert len([record for record in caplog.records if record.getMessage().startswith("skipped")]) == 1


@pytest.mark.parametrize(("devices", "gpus", "expected"), [(1, 1, 6), (2, 2, 3), ("auto", 4, 1), (8, 8, 1)])
def test_devices_share_the_processors(
    devices: int | str, gpus: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector, "processors", lambda: 6)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: gpus)
    assert collector.loader_workers("auto", "gpu", devices) == expected
    assert collector.loader_workers("auto", "cpu", devices) == 0
    assert collector.loader_workers(3, "gpu", devices) == 3
