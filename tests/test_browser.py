"""The pages in a real browser: what mouse, keyboard, slider and search do, and that nothing stands in anyone's way.

A screenshot of each page in each window is left in outputs/screenshots.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from loading import load_script
from PIL import Image
from playwright.sync_api import Browser, Page

from mfv.reports.gallery import gallery
from mfv.reports.index import STRIP, TILE, Entry, index_page
from mfv.structures import Facet, FacetSet, Unit

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "outputs" / "screenshots"
FACETS, EACH = 4, 12
EVIL = "<img src=x onerror=\"document.title='owned'\">"


pages = load_script("pages")
pytestmark = pytest.mark.skipif(pages.find_browser() is None, reason="no Chromium is installed")
needs_axe = pytest.mark.skipif(
    not pages.AXE.exists(), reason="no axe-core is installed (npm install --prefix .browser axe-core)"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with pages.chromium() as opened:
        yield opened


def gallery_page(label: str = "tabby", command: str = "python run.py unit=tabby") -> str:
    """Return a page of four facets whose images lie far apart on the map, with two snapshots."""
    generator = torch.Generator().manual_seed(0)
    ids = tuple(f"{label} {number}.jpg" for number in range(FACETS * EACH))
    facets = tuple(
        Facet(
            k, ids[k * EACH : (k + 1) * EACH], ids[k * EACH : k * EACH + 5], 1.0, 8.0, 0.7, True, 99.0,
            fidelity=k > 0, judge_nearest=k, judge_probability=0.5, judge_class=label, labels=((label, 4),),
        )
        for k in range(FACETS)
    )  # fmt: skip
    images = torch.rand(FACETS, 3, 48, 48, generator=generator)
    angle = np.linspace(0, 2 * np.pi, FACETS * EACH, endpoint=False)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)
    found = FacetSet(
        unit=Unit("mobilenet_v2", "classifier.1", 281, label), facets=facets, mean_images=images.flip(0), ids=ids,
        assignment=np.repeat(np.arange(FACETS), EACH), embedding=circle,
        activations=np.linspace(0, 9, FACETS * EACH, dtype=np.float32), images=images, timing={"render": 3.0},
    )  # fmt: skip
    exemplars = [torch.rand(5, 3, 48, 48, generator=generator) for _ in range(FACETS)]
    thumbnails = list(torch.rand(FACETS * EACH, 3, 24, 24, generator=generator))
    snapshots = {9: torch.rand(FACETS, 3, 48, 48, generator=generator), 19: images.flip(2)}
    return gallery(found, exemplars, thumbnails, snapshots, command)


def entries(count: int) -> list[Entry]:
    layers = ("features.14", "features.18", "classifier.1")
    return [
        Entry(
            layers[number % 3], number, f"unit {number}", f"l/unit_{number:04d}", 4, 150, number / 7, 99.0, 0.75,
            ("tabby", "lynx"), ("cat",),
        )
        for number in range(count)
    ]  # fmt: skip


def written(name: str, folder: Path) -> Path:
    """Write the gallery, or the index with the strips of its units, and return its place."""
    path = folder / f"{name}.html"
    if name == "gallery":
        path.write_text(gallery_page(), encoding="utf-8")
        return path
    some = entries(12)
    path.write_text(index_page(some, 3, ["unit 99: too few images"], "python run.py"), encoding="utf-8")
    for each in some:
        (folder / each.folder).mkdir(parents=True)
        Image.new("RGB", (TILE * each.facets, TILE), "teal").save(folder / each.folder / STRIP)
    return path


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    """The gallery, open."""
    with pages.visit(browser, written("gallery", tmp_path)) as visited:
        yield visited.page
        assert visited.errors == []
        assert visited.requests == []


def selected(page: Page) -> dict[str, list[str]]:
    """Return which facet is marked in each part of the page."""
    parts = {"map": "#map .label.on", "legend": ".legend li.on", "cards": ".card.on", "table": "tr.on"}
    return {
        part: [each.get_attribute("data-facet") or "" for each in page.query_selector_all(selector)]
        for part, selector in parts.items()
    }


def everywhere(*facets: str) -> dict[str, list[str]]:
    return {part: list(facets) for part in ("map", "legend", "cards", "table")}


def dot(page: Page, image: int) -> tuple[float, float]:
    """Return where an image's dot is in the window."""
    box = page.locator("#points circle").nth(image).bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def sources(page: Page, selector: str) -> list[str]:
    return [each.get_attribute("src") or "" for each in page.query_selector_all(selector)]


@needs_axe
@pytest.mark.parametrize("window", pages.WINDOWS, ids=lambda window: window.name)
@pytest.mark.parametrize("name", ["gallery", "index"])
def test_no_serious_barrier(name, window, browser, tmp_path):
    assert pages.barriers(browser, written(name, tmp_path), window) == []


@needs_axe
def test_the_checker_finds_a_barrier_where_there_is_one(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text(
        '<!doctype html><html lang="en"><title>t</title><body><main><img src="data:,"></main></body></html>',
        encoding="utf-8",
    )
    assert [each.split(":")[0] for each in pages.barriers(browser, path)] == ["image-alt"]


@pytest.mark.parametrize("window", pages.WINDOWS, ids=lambda window: window.name)
@pytest.mark.parametrize("name", ["gallery", "index"])
def test_a_page_opens_without_errors_requests_or_scrolling_aside(name, window, browser, tmp_path):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with pages.visit(browser, written(name, tmp_path), window) as visited:
        assert visited.first_paint() > 0
        visited.page.screenshot(path=SCREENSHOTS / f"{name}-{window.name}.png", full_page=True)
        assert visited.page.evaluate("document.documentElement.scrollWidth") <= window.width
        images = visited.page.evaluate(
            "[...document.images].filter((image) => image.complete && !image.naturalWidth).length"
        )
        assert images == 0, "pictures that are not there"
    assert visited.requests == []
    assert visited.errors == []


def test_the_visit_notes_errors_and_requests(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text('<script>nothing.at.all</script><img src="http://127.0.0.1:9/x.png">', encoding="utf-8")
    with pages.visit(browser, path) as visited:
        visited.page.wait_for_load_state("load")
    assert visited.requests == ["http://127.0.0.1:9/x.png"]
    assert any("nothing is not defined" in error for error in visited.errors)


def test_the_image_under_the_pointer_is_shown(opened):
    tip = opened.locator("#tip")
    assert tip.is_hidden()
    for image in (0, 17, 40):
        opened.mouse.move(*dot(opened, image))
        assert tip.is_visible()
        assert tip.inner_text().split("\n")[0] == f"tabby {image}.jpg"
        assert f"facet {image // EACH} " in tip.inner_text()
    opened.mouse.move(2, 2)
    assert tip.is_hidden()


def test_a_facet_selected_anywhere_is_selected_everywhere(opened):
    assert selected(opened) == everywhere()
    opened.mouse.click(*dot(opened, 3))
    assert selected(opened) == everywhere("0")
    opened.locator(".legend .pick").nth(2).click()
    assert selected(opened) == everywhere("2")
    opened.locator(".card .pick").nth(1).click()
    assert selected(opened) == everywhere("1")
    assert opened.locator(".legend .pick").nth(1).get_attribute("aria-pressed") == "true"
    assert opened.locator("#points circle.on").count() == EACH
    opened.locator(".card .pick").nth(1).click()
    assert selected(opened) == everywhere()


def test_everything_is_reached_by_keyboard(opened):
    order = []
    for _ in range(40):
        opened.keyboard.press("Tab")
        order.append(opened.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))
    labels = [f"Facet {facet}, 12 images. Arrow keys step through its images." for facet in range(FACETS)]
    assert [each for each in dict.fromkeys(order) if each in labels] == labels
    assert {"photos", "iteration", "play"} <= {each.lower() for each in order}
    opened.locator("#map .label").nth(1).focus()
    opened.keyboard.press("ArrowRight")
    assert opened.locator("#tip").inner_text().startswith(f"tabby {EACH}.jpg")
    opened.keyboard.press("ArrowRight")
    assert opened.locator("#tip").inner_text().startswith(f"tabby {EACH + 1}.jpg")
    opened.keyboard.press("Enter")
    assert selected(opened) == everywhere("1")
    opened.keyboard.press("Escape")
    assert selected(opened) == everywhere()
    assert opened.locator("#tip").is_hidden()


def test_the_slider_shows_how_the_images_grew(opened):
    final, means = sources(opened, "img.visualization"), sources(opened, ".tiles figure:first-child img")
    slider, name = opened.locator("#step"), opened.locator("#step-name")
    assert name.inner_text() == "final"
    slider.focus()
    opened.keyboard.press("Home")
    assert name.inner_text() == "mean image"
    assert sources(opened, "img.visualization") == means
    grown = []
    for expected in ("iteration 9", "iteration 19"):
        opened.keyboard.press("ArrowRight")
        assert name.inner_text() == expected
        assert slider.get_attribute("aria-valuetext") == expected
        grown += sources(opened, "img.visualization")
    opened.keyboard.press("End")
    assert sources(opened, "img.visualization") == final
    assert len({*final, *means, *grown}) == 4 * FACETS


def test_the_film_plays_once_and_stops(browser, tmp_path):
    with pages.visit(browser, written("gallery", tmp_path)) as visited:
        page = visited.page
        page.clock.install()
        page.reload()
        page.locator("#play").click()
        seen = [page.locator("#step-name").inner_text()]
        for _ in range(4):
            page.clock.run_for(500)
            seen.append(page.locator("#step-name").inner_text())
        assert seen == ["mean image", "iteration 9", "iteration 19", "final", "final"]
        assert page.locator("#play").get_attribute("aria-label") == "Play"


def test_photographs_take_the_place_of_the_dots(opened):
    button = opened.locator("#photos")
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert opened.locator("#points g:visible").count() == FACETS * EACH
    button.click()
    assert opened.locator("#points g:visible").count() == 0


def test_the_address_selects_a_facet(browser, tmp_path):
    with pages.visit(browser, written("gallery", tmp_path), fragment="facet-2") as visited:
        assert selected(visited.page) == everywhere("2")


def test_words_from_outside_stay_words(browser, tmp_path):
    path = tmp_path / "gallery.html"
    path.write_text(gallery_page(label=EVIL, command=f"python run.py unit='{EVIL}'"), encoding="utf-8")
    with pages.visit(browser, path) as visited:
        page = visited.page
        page.mouse.move(*dot(page, 5))
        page.locator("#photos").click()
        assert page.title() == f"{EVIL}: {FACETS} facets"
        assert page.locator("h1").inner_text() == EVIL
        assert page.locator("img[src=x]").count() == 0
    assert visited.errors == []
    index = tmp_path / "index.html"
    index.write_text(
        index_page([Entry("conv1", 0, EVIL, "c/u", 2, 10, 1.0, 50.0, 1.0, (EVIL,))], 0, [EVIL], EVIL), encoding="utf-8"
    )
    with pages.visit(browser, index) as visited:
        assert visited.page.title() == "1 unit"
        assert visited.page.locator("img[src=x]").count() == 0
        assert visited.page.locator(".title").inner_text() == EVIL


def test_the_index_is_searched_filtered_and_sorted(browser, tmp_path):
    path = tmp_path / "index.html"
    some = [
        Entry("conv1", 0, "unit 0", "conv1/unit_0000", 2, 10, 1.0, 50.0, 1.0, ("tabby",)),
        Entry("conv2", 1, "unit 1", "conv2/unit_0001", 5, 10, 9.0, 60.0, 0.5, ("carousel",)),
        Entry("conv2", 2, "unit 2", "conv2/unit_0002", 3, 10, None, None, None, ("carousel",)),
    ]
    path.write_text(index_page(some), encoding="utf-8")

    def shown(page: Page) -> list[str]:
        return [each.get_attribute("data-place") or "" for each in page.locator("#units > li:visible").all()]

    with pages.visit(browser, path) as visited:
        page = visited.page
        assert shown(page) == ["0", "1", "2"]
        orders = {
            "activation": ["1", "0", "2"],  # what is not known comes last
            "percentile": ["1", "0", "2"],
            "fidelity": ["0", "1", "2"],
            "facets": ["1", "2", "0"],
            "place": ["0", "1", "2"],
        }
        for by, order in orders.items():
            page.select_option("#sort", by)
            assert shown(page) == order
        page.fill("#search", "Carousel")
        assert shown(page) == ["1", "2"]
        assert page.locator("#count").inner_text() == "2 of 3"
        page.fill("#search", "")
        page.select_option("#layer", "conv1")
        assert shown(page) == ["0"]
        fragment = page.url.split("#")[1]
    with pages.visit(browser, path, fragment=fragment) as visited:
        assert shown(visited.page) == ["0"]  # an address can be sent on


def test_a_thousand_units_are_searched(browser, tmp_path):
    text = index_page(entries(1000))
    assert len(text.encode()) < 1_000_000
    path = tmp_path / "index.html"
    path.write_text(text, encoding="utf-8")
    with pages.visit(browser, path) as visited:
        page = visited.page
        assert page.locator("#units > li").count() == 1000
        page.fill("#search", "777")
        assert page.locator("#count").inner_text() == "1 of 1000"
        assert page.locator("#units > li:visible").count() == 1


@needs_axe
def test_the_script_looks_at_a_run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "gallery.html").write_text(gallery_page(), encoding="utf-8")
    command = [sys.executable, str(ROOT / "scripts" / "pages.py"), str(tmp_path / "run")]
    done = subprocess.run([*command, "--out", str(tmp_path / "shots")], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| 0 | 0 | 0 |") == len(pages.WINDOWS)
    assert len(list((tmp_path / "shots").glob("*.png"))) == len(pages.WINDOWS)


def test_the_script_names_a_folder_without_pages(tmp_path, capsys):
    with pytest.raises(SystemExit):
        pages.main([str(tmp_path)])
    assert f"no index.html or gallery.html in {tmp_path}" in capsys.readouterr().err
