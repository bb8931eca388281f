"""Open the pages of finished runs in a headless Chromium: screenshots, and what a visitor would run into.

    python scripts/pages.py outputs/2026-11-25/10-00-00 outputs/units --out outputs/pages

Of each gallery.html and index.html, on a wide, a dark and a narrow window: its size, the time to the first paint,
errors, requests to the network, and axe-core's serious violations. Ends with status 1 where there is any
of the last three.
Needs Playwright and Chromium, and axe-core in .browser (npm install --prefix .browser axe-core@4).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
AXE = ROOT / ".browser" / "node_modules" / "axe-core" / "axe.min.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PAGES = ("index.html", "gallery.html")
NETWORK = ("http:", "https:", "ftp:", "ws:", "wss:")
PAINTED = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  for (const entry of list.getEntriesByName("first-contentful-paint")) resolve(entry.startTime);
}).observe({type: "paint", buffered: true}))"""
CHECK = "axe.run(document, {resultTypes: ['violations']})"


@dataclass(frozen=True)
class Window:
    """How a visitor looks at a page."""

    name: str
    width: int  # pixels
    height: int
    scheme: Literal["light", "dark"] = "light"


WIDE, DARK, NARROW = Window("wide", 1280, 900), Window("dark", 1280, 900, "dark"), Window("narrow", 390, 844)
WINDOWS = (WIDE, DARK, NARROW)


@dataclass
class Visit:
    """An open page, and what went wrong there so far."""

    page: Page
    errors: list[str] = field(default_factory=list)  # of scripts and in the console
    requests: list[str] = field(default_factory=list)  # to the network

    def first_paint(self) -> float:
        """Return the milliseconds from opening the page to its first contents."""
        return float(self.page.evaluate(PAINTED))


def find_browser() -> str | None:
    """Return the path of the Chromium that is installed; None for none."""
    return next((found for found in map(shutil.which, BROWSERS) if found), None)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Give a headless Chromium, closed at the end."""
    with sync_playwright() as playwright:
        root = hasattr(os, "geteuid") and os.geteuid() == 0  # whose Chromium has no sandbox
        browser = playwright.chromium.launch(executable_path=find_browser(), args=["--no-sandbox"] if root else [])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def visit(
    browser: Browser, path: Path, window: Window = WIDE, fragment: str = "", injected: str = ""
) -> Iterator[Visit]:
    """Open a file in a window of its own.

    Args:
        browser: which.
        path: of the page.
        window: its size and colours.
        fragment: what stands in the address behind "#".
        injected: a script that is run in the page, which its policy would not allow.

    """
    context = browser.new_context(
        viewport={"width": window.width, "height": window.height},
        color_scheme=window.scheme,
        bypass_csp=bool(injected),
    )
    try:
        page = context.new_page()
        visited = Visit(page)
        page.on("pageerror", lambda error: visited.errors.append(str(error)))
        page.on("console", lambda message: visited.errors.append(message.text) if message.type == "error" else None)
        page.on("request", lambda request: _note(visited.requests, request.url))
        page.goto(path.absolute().as_uri() + (f"#{fragment}" if fragment else ""))
        if injected:
            page.add_script_tag(content=injected)
        yield visited
    finally:
        context.close()


def barriers(browser: Browser, path: Path, window: Window = WIDE) -> list[str]:
    """Return axe-core's serious and critical violations on a page, each with its first places."""
    with visit(browser, path, window, injected=AXE.read_text(encoding="utf-8")) as visited:
        found = visited.page.evaluate(CHECK)["violations"]
    return [
        f"{each['id']}: {'; '.join(node['html'][:160] for node in each['nodes'][:4])}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Look at every page and print the table."""
    commands = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    commands.add_argument("runs", nargs="+", type=Path, help="folders of runs, or of jobs of many units")
    commands.add_argument("--out", type=Path, default=Path("outputs/pages"), help="takes the screenshots")
    options = commands.parse_args(arguments)
    paths = [run / name for run in options.runs for name in PAGES if (run / name).exists()]
    without = [str(run) for run in options.runs if not any((run / name).exists() for name in PAGES)]
    if without:
        commands.error(f"no {' or '.join(PAGES)} in {', '.join(without)}: name the folders of finished runs")
    if find_browser() is None:
        commands.error(f"no Chromium is installed ({', '.join(BROWSERS)})")
    if not AXE.exists():
        commands.error("axe-core is not there: npm install --prefix .browser axe-core@4")
    options.out.mkdir(parents=True, exist_ok=True)
    print("| page | window | kB | first paint, ms | errors | requests | serious barriers |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    told: list[str] = []
    with chromium() as browser:
        for path in paths:
            for window in WINDOWS:
                with visit(browser, path, window) as visited:
                    paint = visited.first_paint()
                    name = f"{path.parent.name}-{path.stem}-{window.name}.png"
                    visited.page.screenshot(path=options.out / name)
                found = barriers(browser, path, window)
                size = path.stat().st_size / 1e3
                counts = " | ".join(str(len(some)) for some in (visited.errors, visited.requests, found))
                print(f"| {path} | {window.name} | {size:.0f} | {paint:.0f} | {counts} |", flush=True)
                told += [f"{path}, {window.name}: {each}" for each in [*visited.errors, *visited.requests, *found]]
    print("\n".join(told))
    return 1 if told else 0


def _note(requests: list[str], url: str) -> None:
    if url.startswith(NETWORK):
        requests.append(url)


if __name__ == "__main__":
    sys.exit(main())
