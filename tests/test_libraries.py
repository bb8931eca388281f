"""Tests of how libraries are loaded, each in a process of its own where that is what counts."""

import gc
import subprocess
import sys
import types
from importlib import import_module

import pytest

from mfv.libraries import loading_libraries, postponed


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_timm_does_not_load_wandb_which_is_there_when_it_is_used():
    lines = python(
        "import sys\n"
        "from mfv.models.timm import timm_model\n"
        "timm_model('resnet10t', 'none')\n"
        "print('wandb' in sys.modules)\n"
        "import timm.utils.summary\n"
        "print(timm.utils.summary.wandb.Settings.__name__, 'wandb.sdk' in sys.modules)\n"
        "import wandb\n"
        "print(wandb.Settings is timm.utils.summary.wandb.Settings)\n"
    ).splitlines()
    assert lines == ["False", "Settings True", "True"]


def test_lightning_loads_no_matplotlib_which_is_there_when_a_metric_is_plotted():
    lines = python(
        "import sys\n"
        "from mfv.libraries import plots_postponed\n"
        "with plots_postponed():\n"
        "    import pytorch_lightning\n"
        "print('matplotlib' in sys.modules)\n"
        "import torch, torchmetrics\n"
        "metric = torchmetrics.MeanMetric()\n"
        "metric.update(torch.tensor([1.0, 2.0]))\n"
        "figure, axes = metric.plot()\n"
        "print(type(figure).__module__, axes.lines[0].get_ydata())\n"
        "from torchmetrics.utilities.imports import _MATPLOTLIB_AVAILABLE\n"
        "print(bool(_MATPLOTLIB_AVAILABLE))\n"
    ).splitlines()
    assert lines == ["False", "matplotlib.figure [1.5]", "True"]


def test_a_library_used_while_it_is_postponed_is_the_real_one_afterwards(monkeypatch):
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    with postponed("colorsys"):
        import colorsys

        assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)
    assert isinstance(sys.modules["colorsys"].__file__, str)


def test_what_is_loaded_already_or_not_installed_is_left_alone():
    with postponed("json"):
        assert type(sys.modules["json"]) is types.ModuleType
    with postponed("no_such_library"), pytest.raises(ImportError):
        import_module("no_such_library")
    assert "no_such_library" not in sys.modules


@pytest.mark.parametrize("searching", [True, False])
def test_here_where_pytorch_is_loaded_garbage_is_still_found_afterwards(searching):
    import_module("torch")
    frozen = gc.get_freeze_count()
    try:
        if not searching:
            gc.disable()
        with loading_libraries():
            assert not gc.isenabled()
        assert gc.isenabled() == searching
        with pytest.raises(ModuleNotFoundError), loading_libraries():
            import_module("no_such_library")
        assert gc.isenabled() == searching
        assert gc.get_freeze_count() == frozen
    finally:
        gc.enable()


def test_what_a_new_process_loads_is_not_searched_again():
    code = (
        "import gc\n"
        "from mfv.libraries import loading_libraries\n"
        "with loading_libraries():\n"
        "    import torch\n"
        "print(gc.get_freeze_count() > 100_000, gc.isenabled())\n"
    )
    assert python(code) == "True True"
