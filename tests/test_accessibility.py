"""The pages in a real browser: axe-core finds no serious barrier, and nothing is asked of the network."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from mfv.reports.gallery import gallery
from mfv.reports.index import Entry, index_page
from mfv.structures import Facet, FacetSet, Unit

AXE = Path(__file__).resolve().parents[1] / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
DARK = "--blink-settings=preferredColorScheme=0"
LIGHT = "--blink-settings=preferredColorScheme=1"
NARROW, WIDE = "--window-size=390,844", "--window-size=1280,900"
CHECK = """
axe.run(document, {resultTypes: ["violations"]}).then(found => {
  const told = found.violations.map(each => ({
    id: each.id, impact: each.impact, nodes: each.nodes.slice(0, 4).map(node => node.html.slice(0, 160))
  }));
  document.body.setAttribute("data-axe", JSON.stringify(told));
});
"""


def opened(address: str, folder: Path, *options: str) -> tuple[str, str]:
    """Return what a headless Chromium makes of a page, and what it logs."""
    assert BROWSER is not None
    common = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    common += ["--enable-logging=stderr", "--virtual-time-budget=20000", f"--user-data-dir={folder / 'profile'}"]
    command = [BROWSER, *common, *options, "--dump-dom", address]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout, done.stderr


def barriers(page: str, folder: Path, *options: str) -> list[dict[str, object]]:
    """Return axe-core's serious and critical violations on a page, whose own scripts run too."""
    script = AXE.read_text(encoding="utf-8")
    path = folder / "checked.html"
    checked = POLICY.sub("", page).replace("</body>", f"<script>{script}</script><script>{CHECK}</script></body>")
    path.write_text(checked, encoding="utf-8")
    dom, _ = opened(path.as_uri(), folder, *options)
    told = re.search(r'data-axe="([^"]*)"', dom)
    assert told, "axe-core did not run"
    found = json.loads(told[1].replace("&quot;", '"').replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return [each for each in found if each["impact"] in ("serious", "critical")]


def gallery_page() -> str:
    generator = torch.Generator().manual_seed(0)
    count, each = 4, 12
    ids = tuple(f"{number}.jpg" for number in range(count * each))
    facets = tuple(
        Facet(
            k, ids[k * each : (k + 1) * each], ids[k * each : k * each + 5], 1.0, 8.0, 0.7, True, 99.0,
            fidelity=k > 0, judge_nearest=k, judge_probability=0.5, judge_class="tabby", labels=(("tabby", 4),),
        )
        for k in range(count)
    )  # fmt: skip
    images = torch.rand(count, 3, 48, 48, generator=generator)
    plane = np.random.default_rng(0).normal(size=(48, 2)).astype(np.float32)
    found = FacetSet(
        unit=Unit("mobilenet_v2", "classifier.1", 281, "tabby"), facets=facets, mean_images=images.flip(0), ids=ids,
        assignment=np.repeat(np.arange(count), each), embedding=plane,
        activations=np.linspace(0, 9, 48, dtype=np.float32), images=images, timing={"render": 3.0},
    )  # fmt: skip
    exemplars = [torch.rand(5, 3, 48, 48, generator=generator) for _ in range(count)]
    thumbnails = list(torch.rand(48, 3, 24, 24, generator=generator))
    return gallery(found, exemplars, thumbnails, {9: images, 19: images.flip(0)}, "python run.py unit=tabby")


def entries(count: int) -> list[Entry]:
    layers = ("features.14", "features.18", "classifier.1")
    return [
        Entry(
            layers[number % 3], number, f"unit {number}", f"l/unit_{number:04d}", 4, 150, number / 7, 99.0, 0.75,
            ("tabby", "lynx"), ("cat",),
        )
        for number in range(count)
    ]  # fmt: skip


needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
needs_axe = pytest.mark.skipif(
    not AXE.exists(), reason="no axe-core is installed (npm install --prefix .browser axe-core)"
)


@needs_browser
@needs_axe
@pytest.mark.parametrize("options", [(LIGHT, WIDE), (DARK, WIDE), (LIGHT, NARROW)], ids=["light", "dark", "narrow"])
@pytest.mark.parametrize("page", ["gallery", "index"])
def test_no_serious_barrier(page: str, options: tuple[str, ...], tmp_path: Path) -> None:
    text = (
        gallery_page()
        if page == "gallery"
        else index_page(entries(12), 3, ["unit 99: too few images"], "python run.py")
    )
    assert barriers(text, tmp_path, *options) == []


@needs_browser
@needs_axe
def test_the_checker_finds_a_barrier_where_there_is_one(tmp_path: Path) -> None:
    bad = '<!doctype html><html lang="en"><title>t</title><body><main><img src="x.png"></main></body></html>'
    assert [each["id"] for each in barriers(bad, tmp_path)] == ["image-alt"]


@needs_browser
@pytest.mark.parametrize("page", ["gallery", "index"])
def test_no_error_and_no_request(page: str, tmp_path: Path) -> None:
    text = gallery_page() if page == "gallery" else index_page(entries(0), 3, [], "python run.py")
    path = tmp_path / f"{page}.html"
    path.write_text(text, encoding="utf-8")
    log = tmp_path / "net.json"
    _, told = opened(path.as_uri(), tmp_path, f"--log-net-log={log}")
    assert "CONSOLE" not in told, told
    asked = set(re.findall(r'"url":"((?:https?|ftp|wss?):[^"]*)"', log.read_text(encoding="utf-8")))
    assert {url for url in asked if "google" not in url and "gvt1" not in url} == set()  # the browser's own apart


@needs_browser
def test_a_thousand_units_are_searched_at_once(tmp_path: Path) -> None:
    text = index_page(entries(1000))
    assert len(text.encode()) < 1_000_000
    path = tmp_path / "index.html"
    path.write_text(text, encoding="utf-8")
    dom, _ = opened(f"{path.as_uri()}#q=777", tmp_path)
    shown = [unit for unit in re.findall(r"<li [^>]*data-place[^>]*>", dom) if "hidden" not in unit]
    assert dom.count("data-place=") == 1000
    assert len(shown) == 1
