"""What the loggers leave on the disk: W&B's own offline file and TensorBoard's event files, read back."""

import json
import logging
import multiprocessing
import os
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
import yaml
from commands import SCRIPT, Command
from PIL import Image
from pytorch_lightning.loggers import Logger
from torch import Tensor

from mfv import pipeline
from mfv.errors import MfvError
from mfv.presets import composed
from mfv.reports import loggers, wandb_run
from mfv.reports.index import read_entry, write_strip
from mfv.structures import Facet, FacetSet, Unit

CONFIG = {"model": {"name": "mobilenet_v2"}, "facets": 2, "render": {"octaves": [1, 2]}}
CONF = Path(__file__).resolve().parents[1] / "conf" / "logger"


@pytest.fixture
def facet_set() -> FacetSet:
    photos = [torch.from_numpy(photo().copy()) for photo in (skimage.data.coffee, skimage.data.astronaut)]
    pictures = torch.stack([photo[100:164, 100:164].permute(2, 0, 1) / 255 for photo in photos])
    facets = (
        Facet(0, ("a", "b"), ("a",), 4.0, 31.0, 0.92, True, 97.0),
        Facet(1, ("c",), ("c",), 2.0, 11.0, 0.25, False, 50.0),
    )
    return FacetSet(
        unit=Unit("mobilenet_v2", "classifier.1", 967, "espresso"),
        facets=facets,
        mean_images=pictures.flip(-1),
        ids=("a", "b", "c"),
        assignment=np.array([0, 0, 1]),
        embedding=np.zeros((3, 2), dtype=np.float32),
        activations=np.ones(3, dtype=np.float32),
        images=pictures,
        metrics={"fidelity": {"final": 0.75}, "method": "tsne", "natural_median": 14.0},
    )


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with an empty home and no credentials, in an empty folder."""
    for variable in [name for name in os.environ if name.startswith("WANDB_") and name != "WANDB_SERVICE"]:
        monkeypatch.delenv(variable)
    home = tmp_path / "home"
    place = tmp_path / "place"
    home.mkdir()
    place.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable in ("NETRC", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(place)
    return home


def exemplars_of(facet_set: FacetSet) -> list[Tensor]:
    return [image[None].repeat(3, 1, 1, 1) for image in facet_set.images]


def log_run(opened: list[Logger], facet_set: FacetSet) -> None:
    for step in (0, 10, 20):
        for logger in opened:
            logger.log_metrics({"activation/facet_00": 1.5 * step, "activation/facet_01": 1.0}, step)
    loggers.log_images(opened, facet_set.images, ["facet 0: 31.0", "facet 1: 11.0"], 20)
    loggers.log_table(opened, facet_set, exemplars_of(facet_set), 20)


def records(path: Path) -> Iterator[object]:
    """Read a .wandb file: a 7-byte header, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    content = path.read_bytes()
    assert content[:4] == b":W&B"
    place, gathered = 7, b""
    while place + 7 <= len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if kind == 0:
            place += left
            continue
        if place + 7 + length > len(content):
            return
        gathered += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(gathered)
            gathered = b""


def nested(items: list) -> dict[str, object]:
    """Return a line of the history, whose keys may be paths, as nested mappings."""
    line: dict[str, object] = {}
    for item in items:
        *parents, last = item.nested_key or [item.key]
        place = line
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = json.loads(item.value_json)
    return line


def read_wandb(run: Path) -> tuple[dict[str, object], list[dict[str, object]], object]:
    """Return an offline run's configuration, its history line by line, and its run record.

    W&B's process writes the end of the file a moment after the run is finished.
    """
    deadline = time.monotonic() + 20
    while not any(record.HasField("exit") for record in records(next(run.glob("*.wandb")))):
        assert time.monotonic() < deadline, f"{run} was never finished"
        time.sleep(0.05)
    config: dict[str, object] = {}
    history = []
    started = None
    for record in records(next(run.glob("*.wandb"))):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            started = record.run
            config.update({item.key: json.loads(item.value_json) for item in record.run.config.update})
        elif kind == "config":
            config.update({item.key: json.loads(item.value_json) for item in record.config.update if item.key})
        elif kind == "history":
            history.append(nested(record.history.item))
    return config, history, started


def summary_of(run: Path) -> dict[str, object]:
    """Return an offline run's own summary: what its page compares it by."""
    found: dict[str, object] = {}
    for record in records(next(run.glob("*.wandb"))):
        if record.WhichOneof("record_type") == "summary":
            found |= nested(record.summary.update)
    return found


def runs_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("wandb/offline-run-*"))


def test_offline_run_holds_config_curves_images_and_table(nobody, facet_set, tmp_path, caplog, capfd):
    directory = tmp_path / "run"
    before = dict(os.environ)
    with caplog.at_level(logging.INFO, logger="mfv"):
        opened = loggers.make_loggers(["csv", "wandb"], directory, CONFIG, "espresso", "sweep-7")
    log_run(opened, facet_set)
    loggers.close_loggers(opened)
    changed = {name for name in set(before) ^ set(os.environ) if name.startswith("WANDB")}
    assert changed <= {"WANDB_SERVICE"}  # wandb's own process
    (run,) = runs_of(directory)
    assert [record.getMessage() for record in caplog.records if record.name.startswith("mfv")] == [
        f"W&B is offline; to upload this run: wandb sync {run.parent}/offline-run-*-{run.name.rpartition('-')[2]}"
    ]
    assert capfd.readouterr() == ("", "")

    config, history, started = read_wandb(run)
    assert {key: config[key] for key in CONFIG} == CONFIG
    assert (started.display_name, started.run_group, started.project) == ("espresso", "sweep-7", "mfv")
    curve = [
        (line["trainer/global_step"], line["activation/facet_00"]) for line in history if "activation/facet_00" in line
    ]
    assert curve == [(0, 0.0), (10, 15.0), (20, 30.0)]
    shown = next(line["visualization"] for line in history if "visualization" in line)
    assert shown["captions"] == ["facet 0: 31.0", "facet 1: 11.0"]
    expected = (facet_set.images * 255).round().to(torch.uint8)
    for name, pixels in zip(shown["filenames"], expected, strict=True):
        stored = np.asarray(Image.open(run / "files" / name).convert("RGB"))
        np.testing.assert_array_equal(stored, pixels.permute(1, 2, 0).numpy())

    final = next(line for line in history if "final/activation" in line)
    assert final["final/activation"] == 21.0
    assert final["final/fidelity/final"] == 0.75
    summary = summary_of(run)
    assert summary["final/activation"] == 21.0
    assert summary["final/activation_ratio"] == 1.5
    assert summary["final/facets"] == 2
    assert summary["final/fidelity/final"] == 0.75
    drawn = next(line["map"] for line in history if "map" in line)
    assert np.asarray(Image.open(run / "files" / drawn["filenames"][0])).shape == (640, 640, 3)
    logged = next(line["facets"] for line in history if "facets" in line)
    table = json.loads((run / "files" / logged["path"]).read_text())
    assert table["columns"] == list(loggers.COLUMNS)
    assert [row[4:] for row in table["data"]] == [
        [2, 4.0, 31.0, 97.0, 0.92, True],
        [1, 2.0, 11.0, 50.0, 0.25, False],
    ]
    staged = [path.read_bytes() for path in (directory / "wandb" / "data").rglob("tmp*")]  # until the upload
    (uploaded,) = {content for content in staged if content.startswith(b'{"_type": "table"')}
    cells = [cell for row in json.loads(uploaded)["data"] for cell in row[1:4]]
    assert [cell["_type"] for cell in cells] == ["image-file"] * 6
    assert sum(content.startswith(b"\x89PNG") for content in staged) >= 6

    assert list(nobody.rglob("*")) == []
    assert list(Path.cwd().iterdir()) == []


def test_each_job_has_its_own_run_and_a_resumed_one_continues_its_id(nobody, tmp_path):
    identifiers = []
    for place in ("one", "two", "one"):
        opened = loggers.make_loggers(["wandb"], tmp_path / place, {}, place)
        identifiers.append(opened[0].experiment.id)
        if place == "two":
            loggers.close_loggers(opened)  # "one" is left open, as by a job that failed
    loggers.close_loggers(opened)
    first, other, resumed = identifiers
    assert first == resumed != other
    assert (tmp_path / "one" / "wandb" / "run_id.txt").read_text().strip() == first
    assert [read_wandb(run)[2].run_id for run in runs_of(tmp_path / "one")] == [first, first]
    assert [read_wandb(run)[2].run_id for run in runs_of(tmp_path / "two")] == [other]


def test_given_run_id_is_taken(nobody, tmp_path):
    opened = loggers.make_loggers(["wandb"], tmp_path, {}, "name", run_id="mine1234")
    loggers.close_loggers(opened)
    assert read_wandb(runs_of(tmp_path)[0])[2].run_id == "mine1234"


def write_from_elsewhere(opened: list[Logger]) -> None:
    for step in range(300):
        opened[0].log_metrics({"activation/facet_00": float(step)}, step)


def test_a_spawned_process_writes_into_the_same_run(nobody, tmp_path):
    opened = loggers.make_loggers(["wandb"], tmp_path, {}, "name")
    worker = multiprocessing.get_context("spawn").Process(target=write_from_elsewhere, args=(opened,))
    worker.start()
    worker.join(60)
    loggers.close_loggers(opened)
    assert worker.exitcode == 0
    (run,) = runs_of(tmp_path)
    assert [line["activation/facet_00"] for line in read_wandb(run)[1]] == list(range(300))


def test_credentials_are_found_without_asking(nobody, monkeypatch):
    assert wandb_run.wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    assert wandb_run.wandb_mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "dryrun")
    assert wandb_run.wandb_mode() == "offline"
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.delenv("WANDB_MODE")
    (nobody / ".netrc").write_text("machine api.wandb.ai login user password " + "k" * 40)
    assert wandb_run.wandb_mode() == "online"
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert wandb_run.wandb_mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    with pytest.raises(MfvError, match="nobody is logged in"):
        wandb_run.wandb_mode()
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(MfvError, match="WANDB_MODE=ofline"):
        wandb_run.wandb_mode()
    (nobody / ".netrc").write_text("not a netrc file at all")
    assert not wandb_run.is_logged_in()


def artifacts_of(run: Path) -> dict[str, object]:
    """Return an offline run's artifacts by their type."""
    return {
        record.request.log_artifact.artifact.type: record.request.log_artifact.artifact
        for record in records(next(run.glob("*.wandb")))
        if record.WhichOneof("record_type") == "request" and record.request.HasField("log_artifact")
    } | {
        record.artifact.type: record.artifact
        for record in records(next(run.glob("*.wandb")))
        if record.HasField("artifact")
    }


def test_the_store_and_the_facets_are_artifacts(nobody, facet_set, tmp_path):
    (tmp_path / "facets.json").write_text("{}")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "manifest.json").write_text('{"rows": 12}')
    opened = loggers.make_loggers(["wandb"], tmp_path, {}, "name", job_type="unit")
    loggers.log_files(opened, [tmp_path / "facets.json"], tmp_path / "store", {"layer": "fc8", "images": 12})
    loggers.close_loggers(opened)
    (run,) = runs_of(tmp_path)
    assert read_wandb(run)[2].job_type == "unit"
    found = artifacts_of(run)
    assert set(found) == {"store", "facets"}
    assert found["store"].name == "store-store"
    assert json.loads(found["store"].metadata) == {"layer": "fc8", "images": 12, "place": str(tmp_path / "store")}
    (reference,) = found["store"].manifest.contents
    assert reference.ref == (tmp_path / "store" / "manifest.json").as_uri()
    assert [entry.path for entry in found["facets"].manifest.contents] == ["facets.json"]


def test_many_units_are_rows_of_one_table(nobody, facet_set, tmp_path):
    place = tmp_path / "fc8" / "unit_0007"
    place.mkdir(parents=True)
    facet_set = facet_set.with_(discovery={"images": 24}, metrics={"fidelity": 0.75})
    facet_set.save(place)
    write_strip(facet_set, place)
    entry = read_entry(place, tmp_path)
    opened = loggers.make_loggers(["wandb", "tensorboard"], tmp_path, {}, "name")
    loggers.log_units(opened, [entry, entry], tmp_path)
    loggers.close_loggers(opened)
    (run,) = runs_of(tmp_path)
    table = next(line["units"] for line in read_wandb(run)[1] if "units" in line)
    assert summary_of(run)["final/fidelity"] == 0.75
    assert summary_of(run)["final/units"] == 2
    assert table["nrows"] == 2
    content = json.loads((run / "files" / table["path"]).read_text())
    assert content["columns"] == list(loggers.UNIT_COLUMNS)
    assert content["data"][0][1] == entry.index
    staged = [path.read_bytes() for path in (tmp_path / "wandb" / "data").rglob("tmp*")]  # until the upload
    (uploaded,) = {content for content in staged if content.startswith(b'{"_type": "table"')}
    assert [row[3]["_type"] for row in json.loads(uploaded)["data"]] == ["image-file"] * 2


BREAKING = """
import os, sys
from mfv import cli, jobs

log = jobs.log_result

def dying(loggers, result, *others):
    if result.facet_set.unit.index == 4:  # its curves and images are logged
        os._exit(9)
    log(loggers, result, *others)

jobs.log_result = dying
cli.main()
"""


def test_a_job_of_many_units_logs_a_run_for_each_and_goes_on_with_them(nobody, tmp_path, monkeypatch):
    asked = [
        "data.photos=[coffee,cat,rocket]", "data.scales=[0.8]", "facets=2", "render.iterations=4", "snapshot_every=2",
        "evaluation=none", "machine.progress=false", "layer=features.16", "unit=3-4", "logger=wandb",
        "logger.units=runs", "store.root=store", f"hydra.run.dir={tmp_path}/my_job",
    ]  # fmt: skip
    (tmp_path / "breaking.py").write_text(BREAKING)
    monkeypatch.delenv("WANDB_SERVICE", raising=False)  # a W&B process of its own
    for script, status in ((tmp_path / "breaking.py", 9), (SCRIPT, 0)):
        command = Command(asked, tmp_path, script)
        output, _ = command.communicate()
        assert command.wait() == status, output
    units = [tmp_path / "my_job" / "features.16" / f"unit_000{unit}" for unit in (3, 4)]
    assert not list(tmp_path.rglob("unlogged"))
    assert [len(runs_of(unit)) for unit in units] == [1, 2]  # what was logged is not logged again
    for number, unit in zip((3, 4), units, strict=True):
        identifier = (unit / "wandb" / "run_id.txt").read_text().strip()
        assert all(run.name.endswith(identifier) for run in runs_of(unit))  # the broken run is continued
        run = runs_of(unit)[-1]
        config, history, started = read_wandb(run)
        assert config["facets"] == 2
        assert (started.run_group, started.job_type, started.run_id) == ("my_job", "unit", identifier)
        assert started.display_name == f"mobilenet_v2 features.16 {number}"
        curves = [line["trainer/global_step"] for line in history if "activation/facet_01" in line]
        assert curves == [0, 1, 2, 3]
        shown = [line["visualization"]["filenames"] for line in history if "visualization" in line]
        assert [len(names) for names in shown] == [2, 2]
        assert all((run / "files" / name).exists() for names in shown for name in names)
        logged = next(line["facets"] for line in history if "facets" in line)
        table = json.loads((run / "files" / logged["path"]).read_text())
        facets = json.loads((unit / "facets.json").read_text())["facets"]
        assert [row[4] for row in table["data"]] == [facet["size"] for facet in facets]
        assert set(artifacts_of(run)) == {"store", "facets", "run_table"}  # the last is W&B's own


def test_a_finished_rendering_is_logged_as_a_run_logs_it(nobody, facet_set, tmp_path):
    curves = torch.arange(6.0).reshape(3, 2)
    images = facet_set.images[:2]
    opened = loggers.make_loggers(["wandb"], tmp_path, {}, "name")
    loggers.log_rendering(opened, curves, {2: (images * 255).byte()}, images, ["facet 0", "facet 1"])
    loggers.close_loggers(opened)
    history = read_wandb(runs_of(tmp_path)[0])[1]
    curve = {line["trainer/global_step"]: line["activation/facet_01"] for line in history if "activation" in str(line)}
    assert curve == {0: 1.0, 1: 3.0, 2: 5.0}
    assert [line["trainer/global_step"] for line in history if "visualization" in line] == [1, 2]  # the end, too


def test_of_a_unit_that_sees_a_part_the_loggers_get_that_part_as_it_grows(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = ["layer=features.4", "unit=3", "facets=2", "render.iterations=3", "snapshot_every=2", "evaluation=none"]
    settings += ["data.photos=[coffee,cat]", "data.scales=[0.8]", "logger=tensorboard", f"store.root={tmp_path}/store"]
    (found,) = pipeline.run(composed([*settings, "machine.progress=false"]), tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    pictures = events.Images("visualization/facet_01")
    assert [(picture.step, picture.width, picture.height) for picture in pictures] == [
        (step, *found.images.shape[-2:]) for step in (1, 2)
    ]


def test_loggers_that_come_to_a_finished_rendering_are_told_what_they_lack(tmp_path, caplog):
    pytest.importorskip("tensorboard")
    settings = ["facets=2", "render.iterations=2", "evaluation=none", "data.photos=[coffee,cat]", "data.scales=[0.8]"]
    settings += [f"store.root={tmp_path}/store", "machine.progress=false"]
    said = "the rendering was finished with other loggers"
    for logger, told in (("csv", False), ("csv", False), ("tensorboard", True)):
        caplog.clear()
        pipeline.run(composed([*settings, f"logger={logger}"]), tmp_path / "run")
        assert (said in caplog.text) == told


def test_key_that_wandb_refuses_is_explained(nobody, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(MfvError, match=r"WANDB_MODE=offline .* logger=csv"):
        loggers.make_loggers(["wandb"], tmp_path, {}, "name")


def test_missing_packages_and_wrong_names_say_what_to_do(nobody, monkeypatch, tmp_path):
    with pytest.raises(MfvError, match=r"'wandbb'; did you mean wandb\?"):
        loggers.make_loggers(["wandbb"], tmp_path, {}, "name")
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(MfvError, match=r"pip install wandb.*logger=csv"):
        loggers.make_loggers(["wandb"], tmp_path, {}, "name")
    assert list(tmp_path.glob("wandb")) == []


def test_tensorboard_reads_back_curves_images_and_numbers(facet_set, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    opened = loggers.make_loggers(["tensorboard"], tmp_path, CONFIG, "name")
    log_run(opened, facet_set)
    loggers.close_loggers(opened)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("activation/facet_00")] == [
        (0, 0),
        (10, 15),
        (20, 30),
    ]
    assert events.Scalars("final/activation")[0].value == 21
    picture = events.Images("visualization/facet_01")[0]
    assert (picture.step, picture.width, picture.height) == (20, 64, 64)
    assert events.Images("facets")[0].width > 500
    assert (events.Images("map")[0].width, events.Images("map")[0].step) == (640, 20)
    text = events.Tensors("facets/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| 1 | 1 | 2.0 | 11.0 | 50th | .25 | no |" in text
    assert yaml.safe_load((tmp_path / "tensorboard" / "hparams.yaml").read_text()) == CONFIG


def test_tensorboard_compares_runs_by_their_settings_and_final_numbers(facet_set, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    opened = loggers.make_loggers(["tensorboard"], tmp_path, CONFIG, "name")
    log_run(opened, facet_set)
    loggers.close_loggers(opened)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    content = events.summary_metadata
    told = [HParamsPluginData.FromString(content[tag].plugin_data.content) for tag in content if "hparams" in tag]
    session = next(each.session_start_info for each in told if each.HasField("session_start_info"))
    assert session.hparams["facets"].number_value == 2
    assert session.hparams["model/name"].string_value == "mobilenet_v2"
    compared = next(each.experiment for each in told if each.HasField("experiment"))
    assert {"final/activation", "final/activation_ratio"} <= {each.name.tag for each in compared.metric_infos}


def test_a_stopped_run_is_continued_without_a_gap(nobody, tmp_path):
    """What is logged of a rendering that is cut in two is what is logged of a whole one, in one W&B run."""
    from test_experiment import Small
    from test_interruption import IMAGES, interrupt_in

    from mfv.data.memory import as_source
    from mfv.discovery import TSNEKMeans
    from mfv.experiment import Experiment, Machine
    from mfv.models.target import TargetModel
    from mfv.rendering.fast import fast_recipe
    from mfv.rendering.renderer import FacetRenderer

    model = TargetModel(Small(), input_size=32)
    for stop in (5, 99):
        opened = loggers.make_loggers(["wandb"], tmp_path, {}, "name")
        with interrupt_in(FacetRenderer, "training_step", stop):
            try:
                Experiment(
                    model, as_source(IMAGES), facets=2, discovery=TSNEKMeans(), recipe=fast_recipe(8),
                    snapshot_every=3, loggers=opened, machine=Machine(accelerator="cpu", progress=False),
                ).run(Unit("custom", "two", 1), tmp_path, tmp_path)  # fmt: skip
            except KeyboardInterrupt:
                assert stop == 5
        loggers.close_loggers(opened)
    runs = runs_of(tmp_path)
    assert len({read_wandb(run)[2].run_id for run in runs}) == 1
    history = [line for run in runs for line in read_wandb(run)[1]]
    logged = [line["trainer/global_step"] for line in history if "activation/facet_00" in line]
    assert logged == list(range(8))
    assert [line["trainer/global_step"] for line in history if "visualization" in line] == [2, 5, 7]


def test_csv_needs_no_logger(tmp_path):
    assert loggers.make_loggers(["csv"], tmp_path, {}, "name") == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", sorted(CONF.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_choice_of_loggers_is_known(path):
    first, *_ = path.read_text(encoding="utf-8").splitlines()
    assert first.startswith(f"# logger={path.stem}: ")
    assert set(yaml.safe_load(path.read_text(encoding="utf-8"))["names"]) <= set(loggers.NAMES)
