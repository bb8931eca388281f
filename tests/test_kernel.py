"""A live notebook: a kernel of its own, and the cells that a user runs in it."""

import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty

import pytest

jupyter_client = pytest.importorskip("jupyter_client")
pytest.importorskip("ipykernel")

BEGIN = """
import sys, torch, mfv
from mfv.data import PhotoCrops
from mfv.models.torchvision import torchvision_model

torch.set_num_threads(1)
images = PhotoCrops(photos=["cat", "coffee"], scales=[0.8])

def paint(steps, unit=792, **options):
    recipe = mfv.fast_recipe(iterations=steps)
    return mfv.visualize(network, "features.18", unit, images, facets=2, recipe=recipe, input_size=96, **options)
"""
NETWORK = "network = torchvision_model('mobilenet_v2').network"
WAIT = 240  # seconds


class Notebook:
    """A kernel and what its cells put out."""

    def __init__(self, place: Path):
        spec = jupyter_client.kernelspec.KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python"
        )
        self.manager = jupyter_client.KernelManager()
        self.manager._kernel_spec = spec
        self.manager.start_kernel(cwd=str(place))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, cell: str, interrupt_at: str | None = None) -> str:
        """Return what a cell prints, shows and raises; interrupt it once it has printed something that looks so."""
        cell_id, output, end = self.client.execute(cell), "", time.monotonic() + WAIT
        while time.monotonic() < end:
            try:
                message = self.client.get_iopub_msg(timeout=1)
            except Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != cell_id:
                continue
            if kind == "status" and content["execution_state"] == "idle":
                return output
            output += content.get("text", "") + content.get("data", {}).get("text/plain", "")
            output += "".join(content.get("traceback", []))
            if interrupt_at and re.search(interrupt_at, output):
                self.manager.interrupt_kernel()
                interrupt_at = None
        raise TimeoutError(output)


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    notebook = Notebook(tmp_path_factory.mktemp("notebook"))
    try:
        notebook.run(BEGIN)
        if "MfvError" in (said := notebook.run(NETWORK)):
            pytest.skip(f"no weights: {said}")
        yield notebook
    finally:
        notebook.client.stop_channels()
        notebook.manager.shutdown_kernel(now=True)


def test_a_cell_shows_its_facets_in_words_too(notebook: Notebook) -> None:
    said = notebook.run("paint(3, progress=False)")
    assert re.search(r"mobilenetv2 features\.18 unit 792: 2 facets of \d+ images\n", said)
    assert len(re.findall(r"^  facet \d · \d+ images · \S+ → \S+$", said, re.MULTILINE)) == 2


def test_several_processes_work_for_a_cell(notebook: Notebook) -> None:
    notebook.run("alone, together = (paint(3, progress=False, devices=devices) for devices in (1, 2))")
    said = notebook.run("torch.equal(together.images, alone.images)")
    assert said.strip().endswith("True")


def test_what_stands_in_a_cell_cannot_go_to_another_process(notebook: Notebook) -> None:
    notebook.run(
        "class Net(torch.nn.Sequential): pass\n"
        "own = Net(torch.nn.Conv2d(3, 4, 9, stride=8), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(484, 5))"
    )
    said = notebook.run("mfv.visualize(own, '0', 1, images, facets=2, input_size=96, progress=False, devices=2)")
    assert "must stand in a file that can be imported, not in a notebook's cell" in said


def test_a_mistake_is_told_in_its_words_alone(notebook: Notebook) -> None:
    said = notebook.run("paint(3, unit=1280)")
    assert said == "MfvError: unit=1280: layer 'features.18' of mobilenetv2 has 1280 units, 0–1279"
    assert "Traceback (most recent call last)" in notebook.run("import traceback; traceback.print_last()")


def test_an_interrupted_cell_keeps_its_images_and_goes_on(notebook: Notebook) -> None:
    said = notebook.run("paint(120, directory='run', progress=True)", interrupt_at=r"render .*\D[1-9]\d*/120")
    assert re.search(r"stopped at step \d+ of 120\. The images so far: import sys; facets = sys\.last_value\.", said)
    assert "Traceback" not in said
    notebook.run("so_far = sys.last_value.partial")
    assert "2, 3, 96, 96" in notebook.run("so_far.images.shape")
    notebook.run("whole = paint(120, directory='run', progress=False)")
    said = notebook.run("print(so_far.stopped, '|', whole.stopped)")
    assert re.fullmatch(r"stopped at step \d+ of 120 \|\s*", said)
