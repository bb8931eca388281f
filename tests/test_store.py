"""The activation store: shards are whole or not there, damage is found and mended, all units' top images are exact."""

import errno
import os
import re
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock

from mfv import store_command
from mfv.activations import shards as shard_files
from mfv.activations import store as store_files
from mfv.activations.shards import Skipped
from mfv.activations.store import CODES_IN, ActivationStore, CodeStore, fitting_shard_rows, seems_stored
from mfv.activations.top import TopImages, top_images
from mfv.errors import MfvError
from mfv.processes import taking_turns
from mfv.writing import check_folder

ROWS, UNITS, WIDTH, SHARD = 50, 7, 5, 16


def values_of(rows: int = ROWS) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    activations = torch.randn(rows, UNITS, generator=generator)
    positions = torch.randint(0, 49, (rows, UNITS), generator=generator)
    return activations, positions, torch.randn(rows, WIDTH, generator=generator)


def fill(store: ActivationStore, shards: list[int] | None = None, bad: tuple[int, ...] = ()) -> ActivationStore:
    activations, positions, codes = values_of(store.rows)
    for shard in store.missing() if shards is None else shards:
        own = store.rows_of(shard)
        rows = [row for row in own if row not in bad][::-1]  # in any order
        skipped = [Skipped(row, f"{row}.jpg", "broken") for row in own if row in bad]
        store.write(shard, activations[rows], positions[rows], rows, skipped)
        store.code_store.write(shard, codes[rows], rows, skipped)
    return store


def new(folder: Path, rows: int = ROWS) -> ActivationStore:
    CodeStore(folder / "codes", {"codes": "made up"}, rows, SHARD)
    return ActivationStore(folder / "units", {"layer": "made up", CODES_IN: "codes"}, rows, SHARD)


def test_a_store_gives_back_what_was_written(tmp_path: Path) -> None:
    store = fill(new(tmp_path), bad=(3, 20))
    activations, positions, codes = values_of()
    assert store.complete
    assert [(entry.row, entry.path) for entry in store.skipped] == [(3, "3.jpg"), (20, "20.jpg")]
    rows = store.readable()
    assert rows.tolist() == [row for row in range(ROWS) if row not in (3, 20)]
    for unit in range(UNITS):
        assert np.array_equal(store.activations(unit)[rows], activations[rows, unit].numpy())
        assert np.isnan(store.activations(unit)[[3, 20]]).all()
    order = [40, 2, 33, 2, 17]
    assert np.array_equal(store.positions(order, 4), positions[order, 4].numpy())  # type: ignore[arg-type]
    assert np.array_equal(store.codes(order), codes[order].half().numpy())
    many = rows[::-1].copy()
    assert np.array_equal(store.codes(many), codes[many].half().numpy())


def test_places_in_large_maps_are_kept_in_any_order_of_shards(tmp_path: Path) -> None:
    store, (activations, positions, _) = new(tmp_path), values_of()
    positions = positions.clone()
    positions[40] = 223 * 224 + 223  # only the third shard needs more than 16 bits
    for shard in store.missing():
        rows = store.rows_of(shard)
        store.write(shard, activations[rows], positions[rows], rows)
    order = [0, 40, 49]
    assert np.array_equal(store.positions(order, 2), positions[order, 2].numpy())  # type: ignore[arg-type]


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    store = new(tmp_path)
    ended = subprocess.Popen(["true"])
    ended.wait()
    name, host, parts = store.path(1).name, socket.gethostname(), tmp_path / "units"
    left = [
        parts / f"{name}.{ended.pid}.part",
        parts / f"{name}.{host}.{ended.pid}.part",
        parts / f"{name}.away.1.part",
    ]
    at_work = [parts / f"{name}.{host}.{os.getppid()}.part", parts / f"{name}.elsewhere.{ended.pid}.part"]
    for part in [*left, *at_work]:
        part.write_bytes(b"half a shard")
    os.utime(left[2], (0, 0))
    fill(store)
    assert [part for part in [*left, *at_work] if part.exists()] == at_work


def test_what_is_missing_is_what_no_shard_holds(tmp_path: Path) -> None:
    store = fill(new(tmp_path), [2, 0])
    assert (store.missing(), store.complete, store.shards) == ([1, 3], False, 4)
    assert new(tmp_path).missing() == [1, 3]  # another process sees the same
    assert store.rows_of(3) == range(48, 50)
    fill(store)
    assert ActivationStore.open(tmp_path / "units").complete


def test_a_shard_must_be_whole(tmp_path: Path) -> None:
    store, (activations, _, codes) = new(tmp_path), values_of()
    with pytest.raises(ValueError, match="shard 0 holds the rows 0 to 15"):
        store.write(0, activations[:15], None, range(15))
    with pytest.raises(ValueError, match="shard 0 holds the rows 0 to 15"):
        store.code_store.write(0, codes[:15], range(15))


@pytest.mark.parametrize("where", [0, 40, 500, -1])
def test_a_flipped_bit_is_found_and_named(tmp_path: Path, where: int) -> None:
    store = fill(new(tmp_path))
    content = bytearray(store.path(2).read_bytes())
    content[where] ^= 4
    store.path(2).write_bytes(content)
    damages = store.verify()
    assert [damage.path for damage in damages] == [store.path(2)]


def test_a_flipped_bit_is_not_read_from_a_store_that_is_soon_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(new(tmp_path))
    content = bytearray(store.path(2).read_bytes())
    content[-1] ^= 4
    store.path(2).write_bytes(content)
    with pytest.raises(MfvError, match=r"shard_000002.* is damaged .*checksum.*: `mfv store verify --repair"):
        store.activations(0)
    monkeypatch.setattr(store_files, "CHECKED", store.path(2).stat().st_size)  # of four shards: the store is larger
    assert len(store.activations(0)) == ROWS


def test_a_shard_is_checked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, checked = fill(new(tmp_path)), []
    monkeypatch.setattr(shard_files.Shard, "verify", lambda shard: checked.append(shard.path))
    for unit in range(3):
        store.activations(unit)
    assert checked == [store.path(number) for number in range(store.shards)]


@pytest.mark.parametrize("left", [0, 5, 200, -1])
def test_a_cut_off_shard_is_found_named_and_made_again(
    tmp_path: Path, left: int, capsys: pytest.CaptureFixture[str]
) -> None:
    store = fill(new(tmp_path))
    whole = store.path(1).read_bytes()
    store.path(1).write_bytes(whole[:left])
    with pytest.raises(MfvError, match=r"shard_000001.* is damaged .*mfv store verify --repair"):
        store.activations(0)
    assert store_command.main(["verify", str(tmp_path)]) == 1
    assert "shard_000001.safetensors is damaged" in capsys.readouterr().out
    assert store_command.main(["verify", "--repair", str(tmp_path)]) == 0
    assert store.missing() == [1]
    fill(store)
    assert store.path(1).read_bytes() == whole
    assert store_command.main(["verify", str(tmp_path)]) == 0


def test_a_full_disk_is_said_and_leaves_a_store_to_go_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = fill(new(tmp_path), [0])

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shard_files.os, "fsync", full)
        with pytest.raises(MfvError, match=r"the disk of .* is full .*store\.root"):
            fill(store, [1])
    assert store.missing() == [1, 2, 3]
    assert not list(tmp_path.rglob("*.part"))
    assert fill(store).complete


def test_stores_of_the_same_content_are_merged(tmp_path: Path) -> None:
    whole = fill(new(tmp_path / "whole"))
    one, other = fill(new(tmp_path / "one"), [0, 2]), fill(new(tmp_path / "other"), [1, 2, 3])
    assert store_command.main(["merge", str(one.directory), str(other.directory)]) == 0
    assert one.complete
    assert not one.code_store.complete
    assert store_command.main(["merge", str(tmp_path / "one"), str(tmp_path / "other")]) == 0  # all stores in it
    assert one.code_store.complete
    assert store_command.main(["merge", str(tmp_path / "both"), str(tmp_path / "one")]) == 0
    assert ActivationStore.open(tmp_path / "both" / "units").code_store.complete
    for shard in range(one.shards):
        assert one.path(shard).read_bytes() == whole.path(shard).read_bytes()
    with pytest.raises(MfvError, match="cannot be merged"):
        one.merge(new(tmp_path / "longer", 60))
    damaged = other.path(1).read_bytes()[:-1]
    other.path(1).write_bytes(damaged)
    with pytest.raises(MfvError, match="damaged"):
        new(tmp_path / "third").merge(other)


def test_stores_are_not_merged_into_a_folder_of_other_things(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(new(tmp_path / "one"))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    assert store_command.main(["merge", str(tmp_path / "photos"), str(tmp_path / "one")]) == 1
    assert "photos holds other things and no activation store: name a folder of stores" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["cat.jpg"]
    assert store_command.main(["merge", str(tmp_path / "photos" / "cat.jpg"), str(tmp_path / "one")]) == 1
    assert "cat.jpg is a file; name a store, or a folder of stores" in capsys.readouterr().err


def test_a_merge_waits_for_the_run_that_fills_the_store(tmp_path: Path) -> None:
    one, other = new(tmp_path / "one"), fill(new(tmp_path / "other"))
    with ThreadPoolExecutor() as threads, taking_turns(one.directory):
        merged = threads.submit(store_command.main, ["merge", str(one.directory), str(other.directory)])
        with pytest.raises(TimeoutError):
            merged.result(0.3)
        fill(one)
    assert merged.result(10) == 0


def test_where_nothing_may_be_written_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "shard")

    fill(new(tmp_path / "one"))
    monkeypatch.setattr("shutil.rmtree", refuse)
    assert store_command.main(["prune", str(tmp_path / "one"), "--days", "0", "--yes"]) == 1
    said = capsys.readouterr()
    assert "codes cannot be removed (Read-only file system)" in said.err
    assert "removed" not in said.out
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert store_command.main(["merge", str(tmp_path / "two"), str(tmp_path / "one")]) == 1
    assert capsys.readouterr().err == "error: shard: Read-only file system\n"


def test_a_whole_store_that_may_not_be_written_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    store = fill(new(tmp_path))
    monkeypatch.setattr("os.access", lambda path, mode: False)
    monkeypatch.setattr("os.utime", refuse)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    check_folder("store.root", tmp_path)
    with taking_turns(store.directory):
        store.touch()
    with pytest.raises(MfvError, match="units cannot be written"):
        check_folder("store.root", tmp_path / "units")


@pytest.mark.parametrize("content", ["[1]", '{"schema": 3}', '{"schema": 3, "rows": "x", "shard_rows": 1}', "{"])
def test_a_damaged_manifest_is_named_and_the_other_stores_are_verified(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(new(tmp_path))
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text(content)
    assert store_command.main(["verify", "--repair", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert re.search(r"broken/manifest.json is damaged \(.*\): remove the folder .*broken\n", said)
    assert "units: 4 of 4 shards, 0 damaged" in said


def test_stores_are_listed_and_pruned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    about = {"model": "alexnet", "codes": "fc7"}
    CodeStore(tmp_path / "two", about, ROWS, SHARD)
    fill(ActivationStore(tmp_path / "one", {**about, "layer": "conv5", CODES_IN: "two"}, ROWS, SHARD), [0])
    old = tmp_path / "old"
    old.mkdir()
    (old / "manifest.json").write_text('{"schema": 1}')
    assert store_command.main(["list", str(tmp_path)]) == 0
    listed = capsys.readouterr().out
    assert re.search(r"one +alexnet +conv5 +50 +25 %", listed)
    assert re.search(r"two +alexnet +codes \(fc7\) +50 +25 %", listed)
    assert "schema 1" in listed
    assert store_command.main(["prune", str(tmp_path), "--days", "-1", "--yes"]) == 1
    assert "--days is -1; it is a number of days" in capsys.readouterr().err
    store_command.main(["prune", str(tmp_path)])
    assert old.exists()  # it was only named
    store_command.main(["prune", str(tmp_path), "--yes"])
    assert not old.exists()
    assert (tmp_path / "one").exists()
    store_command.main(["prune", str(tmp_path), "--days", "0", "--yes"])
    assert not (tmp_path / "one").exists()
    assert store_command.main(["list", str(tmp_path / "none")]) == 1
    (tmp_path / "empty").mkdir()
    capsys.readouterr()
    for word in ("list", "verify", "prune"):  # a wrong folder is not one without faults
        assert store_command.main([word, str(tmp_path / "empty")]) == 1
        assert f"there is no activation store in {tmp_path}/empty" in capsys.readouterr().err


def test_top_images_are_those_of_a_sort(tmp_path: Path) -> None:
    rows, count = 300, 20
    store = fill(new(tmp_path, rows), bad=(3, 200))
    readable = store.readable()
    values, found = top_images(store, count)
    for unit in range(UNITS):
        own = store.activations(unit)[readable]
        order = np.argsort(-own, kind="stable")[:count]
        assert np.array_equal(found[unit], readable[order])
        assert np.array_equal(values[unit], own[order])
    assert np.array_equal(top_images(store, count, [5, 2])[1], found[[5, 2]])
    assert top_images(store, 1000)[0].shape == (UNITS, rows - 2)


def test_of_equal_values_the_first_rows_count() -> None:
    top = TopImages(3)
    for first, values in ((0, [1.0, 2.0]), (2, [2.0, 2.0, 1.0]), (5, [2.0, 3.0])):
        top.add(np.array([values], dtype=np.float32), first)
    assert top.rows.tolist() == [[6, 1, 2]]


@pytest.mark.parametrize(("rows", "size"), [(1, 32), (150, 32), (1086, 96), (8192, 512), (1_300_000, 512)])
def test_shards_are_small_for_few_images(rows: int, size: int) -> None:
    assert fitting_shard_rows(rows) == size


def test_runs_of_several_layers_write_the_codes_once(tmp_path: Path) -> None:
    """Each writes all shards as soon as it has them; none breaks another's, or writes what is there."""
    written: list[Path] = []
    write = shard_files.write_whole

    def counted(path: Path, content: bytes) -> None:
        written.append(path)
        write(path, content)

    stores = [new(tmp_path) for _ in range(4)]
    codes = values_of()[2]
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(stores)) as threads:
        patch.setattr(shard_files, "write_whole", counted)
        list(threads.map(lambda store: [store.code_store.write(s, codes[r], r) for s, r in rows_of(store)], stores))
    assert sorted(written) == [stores[0].code_store.path(shard) for shard in range(stores[0].shards)]
    assert not stores[0].code_store.verify()
    assert np.array_equal(stores[0].codes(range(ROWS)), codes.half().numpy())


def rows_of(store: ActivationStore) -> list[tuple[int, range]]:
    return [(shard, store.rows_of(shard)) for shard in range(store.shards)]


def test_a_finished_store_is_known_by_its_names(tmp_path: Path) -> None:
    names = {"model": "resnet", "layer": "layer4", "images": "some"}
    assert not seems_stored(tmp_path / "nowhere", **names)
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "manifest.json").write_text("[]")
    CodeStore(tmp_path / "codes", {"codes": "made up"}, ROWS, SHARD)
    store = ActivationStore(tmp_path / "units", {**names, CODES_IN: "codes"}, ROWS, SHARD)
    fill(store, [0, 2])
    assert not seems_stored(tmp_path, **names)
    fill(store)
    assert seems_stored(tmp_path, **names)
    for name in names:
        assert not seems_stored(tmp_path, **{**names, name: "another"})
    assert not seems_stored(tmp_path, **{**names, "images": None})
