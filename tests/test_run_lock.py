"""A run's folder is one process's at a time, and holds the facets of what is asked."""

import json
from pathlib import Path

import pytest
import small
from filelock import FileLock

import mfv
from mfv.errors import MfvError
from mfv.run_lock import LOCK, alone_in


def test_a_folder_is_made_by_one_process_at_a_time(tmp_path: Path) -> None:
    place = tmp_path / "run"
    with alone_in(place, "hydra.run.dir"):
        words = r"run is being made by another process: .*another hydra.run.dir \(in a sweep, a hydra.sweep.subdir"
        with pytest.raises(MfvError, match=words), alone_in(place, "hydra.run.dir"):
            pass
    assert list(place.iterdir()) == []
    (place / LOCK).touch()  # a process that was killed left it
    with alone_in(place, "hydra.run.dir"):
        pass


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), OSError(37, "No locks available")])
def test_where_there_are_no_locks_a_run_goes_without(
    error: OSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **keywords: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with alone_in(tmp_path, "directory"):
        pass


def test_python_does_not_take_a_folder_that_is_in_use(tmp_path: Path) -> None:
    with FileLock(tmp_path / LOCK):
        with pytest.raises(MfvError, match=r"by another process: wait for its end, or choose another directory$"):
            small.visualize(directory=tmp_path)
        with pytest.raises(MfvError, match="is being made by another process"):
            mfv.visualize_units(small.network(), "2", [1, 2], small.IMAGES, 2, input_size=32, directory=tmp_path)


def test_facets_of_another_unit_are_not_taken(tmp_path: Path) -> None:
    small.visualize(directory=tmp_path)
    assert not (tmp_path / LOCK).exists()
    document = json.loads((tmp_path / "facets.json").read_text())
    document["unit"]["index"] = 4
    (tmp_path / "facets.json").write_text(json.dumps(document))
    with pytest.raises(MfvError, match="holds the facets of sequential 2 unit 4, not of sequential 2 unit 1"):
        small.visualize(directory=tmp_path)
