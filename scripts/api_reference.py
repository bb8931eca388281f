"""Build the API reference from the docstrings, as web pages with a search (make docs).

    python scripts/api_reference.py                        # all modules, into outputs/api
    python scripts/api_reference.py mfv mfv.objectives     # some

It takes the extra `docs` (pdoc).
"""

from __future__ import annotations

import argparse
import inspect
import pkgutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pdoc
import pdoc.render

import mfv.data
import mfv.discovery
import mfv.rendering
from mfv.limits import limits_of

PAGES = Path("outputs/api")
TEMPLATES = Path(__file__).with_name("api_pages")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the pages and say where they begin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", help="which; by default all that are public")
    parser.add_argument("--out", type=Path, default=PAGES)
    options = parser.parse_args(arguments)
    build(options.modules or public_modules(), options.out)
    print(options.out / "index.html")
    return 0


def public_modules() -> list[str]:
    """Return the names of the package and of all its modules."""
    return ["mfv", *(module.name for module in pkgutil.walk_packages(mfv.__path__, "mfv."))]


def build(modules: Sequence[str], directory: Path) -> None:
    """Write a page for each module, and an index, into the directory."""
    # Their names are imported on first use, and pdoc shows what is there.
    for package in (mfv, mfv.data, mfv.discovery, mfv.rendering):
        for name in package.__all__:
            setattr(package, name, getattr(package, name))
    pdoc.render.configure(docformat="google", show_source=False, template_directory=TEMPLATES)
    with warnings.catch_warnings(), limits_in_words():
        # A dataclass's inherited fields have the types of another module: they are shown as they are written there.
        warnings.filterwarnings("ignore", "Error parsing type annotation")
        # Packages without __all__ bring along modules that are named here too.
        warnings.filterwarnings("ignore", "The module specification")
        pdoc.pdoc(*modules, output_directory=directory)


@contextmanager
def limits_in_words() -> Iterator[None]:
    """Let signatures show `float (a share, from 0 to 1)` for what is annotated with limits (`mfv.limits`)."""
    plain = inspect.formatannotation

    def shown(annotation: Any, base_module: str | None = None, **options: Any) -> str:
        limits = limits_of(annotation) if get_origin(annotation) is Annotated else None
        if limits is None:
            return plain(annotation, base_module, **options)
        return f"{plain(get_args(annotation)[0], base_module, **options)} ({limits})"

    inspect.formatannotation = shown
    try:
        yield
    finally:
        inspect.formatannotation = plain


if __name__ == "__main__":
    sys.exit(main())
