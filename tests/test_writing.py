"""What cannot be written is said, and loses nothing: a full disk, a folder of others, a file in a folder's place."""

import errno
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import small
import torch
from torch.multiprocessing import ProcessRaisedException

import mfv
from mfv.data import PhotoCrops
from mfv.errors import MfvError
from mfv.finished import read_run
from mfv.models.torchvision import torchvision_model
from mfv.rendering.fast import fast_recipe
from mfv.replacing import replacing
from mfv.structures import FacetSet
from mfv.writing import check_folder, unwritable, writing


def test_a_full_disk_is_said_and_the_same_call_goes_on(tmp_path: Path) -> None:
    network = torchvision_model("mobilenet_v2")
    photos = PhotoCrops(scales=[0.8], photos=["coffee", "cat"])

    def visualize(name: str) -> mfv.Facets:
        return mfv.visualize(
            network, "features.18", 3, photos, facets=2, recipe=fast_recipe(3), directory=tmp_path / name,
            store=tmp_path / "store", accelerator="cpu", progress=False,
        )  # fmt: skip

    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "contact_sheet.png.part").symlink_to("/dev/full")  # a device that has no room, whatever is written
    with pytest.raises(MfvError, match=f"is full .*make room; what is finished is kept, .*directory={broken} goes on"):
        visualize("broken")
    assert (broken / "render.safetensors").exists()
    assert not list(broken.rglob("*.part"))  # what could not be finished takes no room
    assert torch.equal(visualize("broken").images, visualize("whole").images)
    assert (broken / "gallery.html").exists()


def test_a_full_disk_is_told_with_a_folder_that_hydra_can_read(tmp_path: Path) -> None:
    message = unwritable(OSError(errno.ENOSPC, "No space left on device"), {"hydra.sweep.dir": tmp_path / "a,b"})
    assert message is not None
    word = f"hydra.sweep.dir='{tmp_path}/a,b'"
    assert f"the same again with {shlex.quote(word)} goes on" in message


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_known_by_its_words_from_other_libraries_and_processes(number: int, tmp_path: Path) -> None:
    words = {errno.ENOSPC: "No space left on device", errno.EDQUOT: "Disk quota exceeded"}[number]
    other = ProcessRaisedException(f"Traceback …\nOSError: [Errno {number}] {words}: 'a' -> 'b'\n", 0, 1)
    for error in (OSError(number, words), RuntimeError(f"I/O error: {words} (os error {number})"), other):
        message = unwritable(error, {"hydra.run.dir": tmp_path, "store.root": None})
        assert message is not None
        assert f"hydra.run.dir={tmp_path} goes on behind it" in message


def test_a_run_that_is_not_finished_is_told_with_a_folder_that_hydra_can_read(tmp_path: Path) -> None:
    small.visualize(directory=tmp_path / "run")
    replace(FacetSet.load(tmp_path / "run"), images=None).save(tmp_path / "a,b")
    again = re.escape(shlex.quote(f"hydra.run.dir='{tmp_path}/a,b'"))
    with pytest.raises(MfvError, match=f"is not finished: give its command again with {again}$"):
        read_run(tmp_path / "a,b")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    words = rf"{file}/run cannot be written \(Not a directory\): .*directory="
    with pytest.raises(MfvError, match=words), writing({"directory": file / "run"}):
        (file / "run").mkdir(parents=True)
    with pytest.raises(MfvError, match=f"store.root={file}/a/b: {file} is a file; give a folder"):
        check_folder("store.root", file / "a" / "b")
    check_folder("store.root", tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "run" / "facets.json"))
    words = r"facets.json cannot be written \(Permission denied\)"
    with pytest.raises(MfvError, match=words), writing({"hydra.run.dir": tmp_path / "run"}):
        raise refused
    monkeypatch.setattr("os.access", lambda path, mode: False)  # the administrator may write everywhere
    with pytest.raises(MfvError, match=r"cannot be written \(Permission denied\); give another folder"):
        check_folder("store.root", tmp_path / "store")


def test_other_errors_pass(tmp_path: Path) -> None:
    elsewhere = PermissionError(errno.EACCES, "Permission denied", "/elsewhere/photo.jpg")
    missing = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "missing"))
    for error in (elsewhere, missing, ValueError("no space"), KeyboardInterrupt()):
        with pytest.raises(type(error)), writing({"hydra.run.dir": tmp_path}):
            raise error


def test_who_may_read_one_file_of_a_run_may_read_all(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    small.visualize(directory=tmp_path / "run")
    rights = {path.name: oct(path.stat().st_mode) for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert {*rights.values()} == {oct((tmp_path / "usual").stat().st_mode)}, rights


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, shared: bool) -> None:
    path = tmp_path / "page.html"

    def write(text: str) -> None:
        with replacing(path, shared) as part:
            part.write_text(text[:10])
            if len(text) > 10:
                raise MfvError("no room")

    write("first")
    with pytest.raises(MfvError):
        write("second, of which half is written")
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
