"""The command line, as a user types it."""

import json
import shlex
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from commands import ROOT, SCRIPT, Command
from filelock import FileLock
from hydra import compose, initialize_config_module

from mfv import cli, pipeline
from mfv.commands import shell_setting
from mfv.config import register
from mfv.data.files import find_images
from mfv.errors import MfvError
from mfv.run_lock import LOCK

SMALL = ["data.photos=[coffee,cat,rocket]", "data.scales=[0.8]", "facets=3", "render.iterations=4"]


def start(arguments: list[str], directory: Path, **environment: str) -> Command:
    return Command([*arguments, f"store.root={directory}/store"], directory, **environment)


def run(arguments: list[str], directory: Path, **environment: str) -> tuple[int, str]:
    process = start(arguments, directory, **environment)
    output, _ = process.communicate()
    return process.wait(), output


def test_the_default_job_leaves_the_contract(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), *SMALL, "hydra.run.dir=run", f"store.root={tmp_path}/store"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    for name in (
        "facets.json", "facets.safetensors", "contact_sheet.png", "gallery.html", "config.yaml", "metrics.csv",
        "facets/facet_00.png", "facets/facet_02.png", "means/mean_00.png",
    ):  # fmt: skip
        assert (tmp_path / "run" / name).exists(), name
    assert find_images(tmp_path) == []  # none of them is taken for a photograph when the folder is
    assert "gallery.html" in output
    assert "collect" in output
    assert "render" in output
    assert "Traceback" not in output
    assert "Warning" not in output
    document = json.loads((tmp_path / "run" / "facets.json").read_text())
    assert document["unit"]["model"] == "mobilenet_v2"


# What is said before PyTorch is loaded: arguments, and a part of the answer.
EARLY = [
    (["facets=ten"], "facets is 'ten'; it is a number of facets"),
    (["facet=4"], "facet: there is no such key; did you mean facets"),
    (["model=alexnett"], "model=alexnett: there is no such choice; did you mean alexnet"),
    (["render.stepz=3"], "render.stepz: there is no such key; did you mean render.step"),
    (["layer=features.99"], "no layer 'features.99'; did you mean features."),
    (["layer=classifier.1", "unit=bel peper"], "bell pepper"),
    (["data=folder"], "data.root is missing: give it on the command line"),
    (["data=folder", "data.root=nowhere"], "data.root=nowhere does not exist; give the folder of your images"),
    (["layer=feature.18"], "mobilenet_v2 has no layer 'feature.18'; did you mean features.18"),
    (["unit=1280"], "unit=1280: layer 'features.18' of mobilenet_v2 has 1280 units, 0–1279"),
    (
        ["model=alexnet", "layer=fc8", "unit=cinemas"],
        "unit=cinemas is no class of alexnet; did you mean 498 (cinema",
    ),
    (["unit=1000-2000"], "unit=1000-2000: the layer's units are 0-1279"),
    (["unit=[3,1280]"], "unit=1280: layer 'features.18' of mobilenet_v2 has 1280 units, 0–1279"),
    (["layer=[features.18,feature.17]", "unit=all"], "no layer 'feature.17'; did you mean features.17"),
    (["machine.precision=bf16"], "machine.precision is 'bf16'; did you mean bfloat16?"),
    (["machine.layout=channel_last"], "machine.layout is 'channel_last'; did you mean channels_last?"),
    (["model=alexnet", "layer=conv5", "unit=cinema"], "units of layer 'features.10' of alexnet have no names"),
    (["store.dir=x"], "error: store.dir: there is no such key; did you mean store.root? (store has root)"),
    (["-m", "unit=3,4", "render=fast,best", "store.dir=x"], "error: store.dir: there is no such key"),
    (["model@evaluation.judge=resnet51"], "there is no such choice; did you mean resnet50"),
    (["select.by=some"], "select.by is 'some'; it is one of auto, class, top"),
    (["discovery=consensus", "discovery.maps=1"], "discovery.maps is 1; a consensus takes at least 2"),
    (["discovery.perplexity=-3"], "give at least 250 iterations and a positive perplexity"),
    (["discovery=kmeans", "discovery.map=umap"], "discovery.map is 'umap'; it is 'tsne' or 'pca'"),
    (["refine.merge=3"], "refine.merge is 3.0; it is a cosine"),
    (["render.iterations=abc"], "render.iterations is 'abc'; it is a number of steps, at least 1"),
    (["render.step=abc"], "render.step is 'abc'; it is a number of grey levels, or a schedule"),
    (["render.step.last=0"], "render.step: a geometric schedule goes from 4.0 to 0; both are above 0"),
    (["render=best", "render.momentum=2"], "render.momentum is 2; it is at least 0 and below 1"),
    (
        ["render=oygard", "render.octaves.shapes.scale=.5"],
        "render.octaves.shapes.scale is 0.5; the canvas cannot be",
    ),
    (["render=mean_image", "render.scheme=exact"], "render.scheme is 'exact'; it is one of reference, intended"),
    (["render.start=men"], "render.start is 'men'; it is one of mean, contrast, noise, image, gray"),
    (["render.regularizers.affine.rotation=x"], "render.regularizers.affine.rotation is 'x'; it is a number"),
    (["render.regularizers.tv.every=0"], "render.regularizers.tv.every is 0; it is a number of steps, at least 1"),
    (["render.objectives.middle.objective.cap=-1"], "objective.cap is -1; it is a percentile, or null, from 0 to 100"),
    (["data.max_bad_share=2"], "data.max_bad_share is 2; it is a share from 0 to 1"),
    (["data.scales=[2]"], "data.scales is [2.0]; each is a share of the photograph"),
    (["machine.batch_size=0"], "machine.batch_size is 0; it is a number of images, at least 1"),
    (["machine.devices=two"], "machine.devices is 'two'; it is a number of processes"),
    (["checkpoint_every=0"], "checkpoint_every is 0; it is a number of steps between checkpoints, at least 1"),
    (["snapshot_every=-1"], "snapshot_every is -1; it is a number of steps"),
    (["facets=0"], "facets is 0; it is a number of facets, at least 1, or auto"),
    (["data=folder", "data.root=~/nowhere"], f"data.root={Path.home()}/nowhere does not exist"),
    (["position=middle"], "position is 'middle'; of a channel it is max, mean, center, or a row and a column"),
    (["launch=joblib"], "launch=joblib is for the jobs of a sweep, be it a single one: put -m in front"),
    (
        ["model=googlenet", "model.transform_input=maybe"],
        "model.transform_input is 'maybe'; it is true or false or null",
    ),
    (["unit=1.5"], "unit=1.5: units of layer 'features.18' of mobilenet_v2 have no names; give a number"),
    (["evaluation=null"], "evaluation=null: there is no such choice; did you mean none? (there are auto, "),
    (["-m", "logger=csv,null"], "logger=null: there is no such choice (there are all, csv, tensorboard, wandb)"),
    (["data=true"], "data=true: there is no such choice (there are folder, "),
    (["model.aliases=abc"], "model.aliases is 'abc'; it is settings with names of their own ({NAME: …}) or null"),
    (["data.photos=rocket"], "data.photos is 'rocket'; it is a list or null: [rocket]"),
    (["hydra.run.dir=0.txt/run"], "0.txt/run cannot be written (Not a directory): give another folder, hydra.run.dir="),
    (["store.root=0.txt/store"], "0.txt is a file; give a folder"),
    (["--shell-completion"], "--shell-completion install=bash"),
    (["unit=bell", "pepper"], "'pepper' is no setting: settings are KEY=VALUE"),
]
# One process with the command line's libraries, and a copy of it for each: in place of an interpreter for each.
ANSWERS = """
import json, os, sys
sys.modules["torch"] = None  # importing it would raise an error
import mfv.early, mfv.pipeline
from hydra.core.plugins import Plugins
Plugins.instance()  # looks through all packages
from mfv.cli import main
for number, arguments in enumerate(json.loads(sys.argv[1])):
    sys.stdout.flush()
    if not os.fork():
        answer = os.open(f"{number}.txt", os.O_CREAT | os.O_WRONLY)
        os.dup2(answer, 1)
        os.dup2(answer, 2)
        sys.argv = ["run.py", *arguments]
        main()  # ends by sys.exit
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.fixture(scope="module")
def early_answers(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[int, str]]:
    """What the command line says to each of the `EARLY` mistakes: exit status and output."""
    folder = tmp_path_factory.mktemp("early")
    command = [sys.executable, "-c", ANSWERS, json.dumps([arguments for arguments, _ in EARLY])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    codes = [int(line) for line in done.stdout.split()]
    return [(code, (folder / f"{number}.txt").read_text()) for number, code in enumerate(codes)]


@pytest.mark.parametrize("number", range(len(EARLY)), ids=[" ".join(arguments) for arguments, _ in EARLY])
def test_mistakes_are_answered_before_pytorch_is_loaded(early_answers: list[tuple[int, str]], number: int) -> None:
    code, output = early_answers[number]
    assert code == 1
    assert EARLY[number][1] in output
    assert "Traceback" not in output
    assert "HYDRA_FULL_ERROR" not in output


def test_a_killed_run_goes_on_in_its_directory(tmp_path: Path) -> None:
    arguments = [*SMALL, "render.iterations=20", "checkpoint_every=2", "evaluation=none"]
    process = start([*arguments, "hydra.run.dir=broken"], tmp_path)
    checkpoint = tmp_path / "broken" / "render.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert checkpoint.exists()
    assert not (tmp_path / "broken" / "render.safetensors").exists()

    code, output = run([*arguments, "hydra.run.dir=broken"], tmp_path)
    assert code == 0, output
    code, output = run([*arguments, "hydra.run.dir=whole"], tmp_path)
    assert code == 0, output
    documents = [json.loads((tmp_path / name / "facets.json").read_text()) for name in ("broken", "whole")]
    for document in documents:
        document.pop("timing")
    assert documents[0] == documents[1]
    pictures = [(tmp_path / name / "facets" / "facet_01.png").read_bytes() for name in ("broken", "whole")]
    assert pictures[0] == pictures[1]


def test_a_folder_that_another_run_makes_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / LOCK):
        code, output = run([*SMALL, "hydra.run.dir=run"], tmp_path)
    assert code == 1
    assert "run is being made by another process: wait for its end, or choose another hydra.run.dir" in output
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_the_version_is_that_of_the_package(tmp_path: Path) -> None:
    code, output = run(["--version"], tmp_path)
    assert code == 0
    assert output.strip() == f"mfv {tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['version']}"


def test_help_may_be_cut_short(tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(SCRIPT))} --help | head -n 1"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("mfv is powered by Hydra")
    assert done.stderr == ""


def test_alexnet_without_weights_names_the_places(tmp_path: Path) -> None:
    # A proxy that nobody answers stands for a machine without a network.
    code, output = run(
        ["model=alexnet", "layer=fc8", "facets=10"],
        tmp_path,
        TORCH_HOME=str(tmp_path / "torch"),
        https_proxy="http://127.0.0.1:9",
        HTTPS_PROXY="http://127.0.0.1:9",
    )
    assert code == 1
    assert "Traceback" not in output
    for part in ("alexnet-owt-7be5be79.pth", str(tmp_path / "torch"), "model=mobilenet_v2", "weights=none"):
        assert part in output


def test_a_failing_job_does_not_stop_the_sweep(tmp_path: Path) -> None:
    sweep = [
        "-m",
        *SMALL,
        "evaluation=none",
        "unit=3,99999",
        "facets=2",
        "hydra.sweep.dir=sweep",
        "machine.progress=false",
    ]
    code, output = run(sweep, tmp_path)
    assert code == 1
    assert (tmp_path / "sweep" / "0" / "gallery.html").exists()
    assert not (tmp_path / "sweep" / "1" / "gallery.html").exists()
    assert "1 of the sweep's jobs failed" in output
    assert "99999" in output
    assert "Traceback" not in output
    (command,) = [line.split() for line in output.splitlines() if line.startswith("  python run.py")]
    assert f"hydra.run.dir={tmp_path}/sweep/1" in command  # this job alone, in its place


def test_where_jobs_lie_elsewhere_their_failures_are_told_and_no_other_files_touched(tmp_path: Path) -> None:
    other = tmp_path / "sweep" / "mine" / "failure.txt"
    other.parent.mkdir(parents=True)
    other.write_text("of something else")
    sweep = ["-m", "unit=99999", "hydra.sweep.dir=sweep", f"hydra.sweep.subdir='{tmp_path}/a,b'", "--quiet"]
    for _ in range(2):
        code, output = run(sweep, tmp_path)
        assert code == 1
        assert "1 of the sweep's jobs failed" in output
        assert f"{tmp_path}/a,b" in output
    (command,) = [line for line in output.splitlines() if line.startswith("  python run.py")]
    words = shlex.split(command)
    assert f"hydra.run.dir='{tmp_path}/a,b'" in words  # as Hydra reads a comma
    assert "machine.progress" not in command
    assert other.read_text() == "of something else"
    assert [path.name for path in (tmp_path / "sweep").glob(".failures/*")] == ["000000.txt"]


def test_a_full_disk_in_a_sweep_is_told_with_the_folder_of_the_sweep(tmp_path: Path) -> None:
    (tmp_path / "sweep" / "0").mkdir(parents=True)
    (tmp_path / "sweep" / "0" / "config.yaml.part").symlink_to("/dev/full")
    code, output = run(["-m", "unit=3", "hydra.sweep.dir=sweep"], tmp_path)
    assert code == 1
    assert f"and the same again with hydra.sweep.dir={tmp_path}/sweep goes on behind it" in output


def test_a_sweep_in_the_folder_of_a_run_is_a_mistake(tmp_path: Path) -> None:
    code, output = run(["-m", "unit=3,4", "hydra.run.dir=mine"], tmp_path)
    assert code == 1
    assert "hydra.run.dir=mine is of a single run: the folder of a sweep's jobs is hydra.sweep.dir=…" in output


def test_an_experiment_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    (tmp_path / "mine" / "experiment" / "small.yaml").write_text("# @package _global_\nfacets: 0\n")
    code, output = run(["--config-dir", "mine", "experiment=smal"], tmp_path)
    assert code == 1
    assert "experiment=smal: there is no such choice; did you mean small?" in output
    assert "facets is 0" in run(["--config-dir", "mine", "experiment=small"], tmp_path)[1]


def test_a_mistake_is_answered(tmp_path: Path) -> None:
    code, output = run(["layer=classifier.1", "unit=bel peper"], tmp_path)
    assert code == 1
    assert "bel peper" in output
    assert "bell pepper" in output
    assert "Traceback" not in output


def test_units_that_were_finished_without_a_judge_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, metrics in enumerate([{}, {"judge": "resnet50"}]):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "facets.json").write_text(json.dumps({"metrics": metrics}))
        (tmp_path / str(number) / "gallery.html").touch()
    pages = [tmp_path / str(number) / "gallery.html" for number in range(3)]  # one is still to be made
    asked = SimpleNamespace(judge_model=SimpleNamespace(name="resnet50"))
    pipeline._tell_of_finished(pages, asked, unlogged=True)  # type: ignore[arg-type]
    remedy = "stay so; the same command does a unit again whose gallery.html is removed"
    assert caplog.messages == [
        f"units that were finished without the judge resnet50 (1) {remedy}",
        f"units that were finished with other loggers (2) {remedy}",
    ]
    caplog.clear()
    pipeline._tell_of_finished(pages, SimpleNamespace(judge_model=None), unlogged=False)  # type: ignore[arg-type]
    assert caplog.messages == []


def test_a_run_that_left_nothing_but_its_configuration_may_be_corrected(tmp_path: Path) -> None:
    pipeline.claim(tmp_path, {"facets": 100, "seed": 0})
    pipeline.claim(tmp_path, {"facets": 2, "seed": 0})
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["facets"] == 2
    (tmp_path / "features.18" / "unit_0003").mkdir(parents=True)
    with pytest.raises(MfvError, match=r"another configuration \(it differs in facets\)"):
        pipeline.claim(tmp_path, {"facets": 3, "seed": 0})


def test_the_command_that_goes_on_has_its_options_in_front(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between settings they would end the list."""
    given = ["run.py", "unit=8,9", "-m", "facets=2", "--config-dir", "my_conf", "hydra.sweep.dir=old"]
    monkeypatch.setattr("sys.argv", given)
    expected = "python run.py -m --config-dir my_conf unit=8,9 facets=2 hydra.sweep.dir=new"
    assert cli._again("hydra.sweep.dir=new") == expected


@pytest.mark.parametrize("value", ["/a/b", "a,b[c]", "it's", 'a "b" c', "a\\", "a\\'b", "ü${x}", "a=b:{c}", "~x(1)#&;"])
def test_a_folder_of_any_name_is_read_as_it_is(value: str) -> None:
    register()
    (word,) = shlex.split(shell_setting("hydra.run.dir", value))
    with initialize_config_module("conf", version_base="1.3"):
        config = compose("config", [word], return_hydra_config=True)
    assert config.hydra.run.dir == value


def test_another_configuration_does_not_overwrite_a_run(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("facets: 7\nseed: 0\n")
    (tmp_path / "run" / "facets.json").touch()
    code, output = run([*SMALL, "hydra.run.dir=run"], tmp_path)
    assert code == 1
    assert "another configuration" in output
    assert "facets" in output
    assert (tmp_path / "run" / "config.yaml").read_text() == "facets: 7\nseed: 0\n"
