"""`mfv store`: what the activation stores hold, whether it is whole, and how to be rid of it."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mfv.errors import MfvError

ROOT = "outputs/store"  # as conf/config.yaml has it
DAY = 24 * 3600


def main(arguments: Sequence[str]) -> int:
    """Run `mfv store …`; 1 where something is damaged or wrong."""
    options = parser().parse_args(arguments)
    try:
        return options.action(options)
    except MfvError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename2 or error.filename or options}: {error.strerror}", file=sys.stderr)
    return 1


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    commands = argparse.ArgumentParser(prog="mfv store", description=__doc__)
    actions = commands.add_subparsers(required=True, metavar="list | verify | merge | prune")
    listing = actions.add_parser("list", help="one line per store: what it holds, how much of it is there, its size")
    listing.add_argument("root", nargs="?", type=Path, default=Path(ROOT), help=f"folder of stores (default: {ROOT})")
    listing.set_defaults(action=list_stores)
    verifying = actions.add_parser("verify", help="read every byte and compare it with its checksum")
    verifying.add_argument("folder", nargs="?", type=Path, default=Path(ROOT), help="a store, or a folder of stores")
    verifying.add_argument("--repair", action="store_true", help="remove damaged shards: the next run makes them again")
    verifying.set_defaults(action=verify_stores)
    merging = actions.add_parser("merge", help="copy the shards that a store lacks from others of the same content")
    merging.add_argument("into", type=Path, help="a store, or a folder of stores")
    merging.add_argument("others", nargs="+", type=Path, help="the same of other machines")
    merging.set_defaults(action=merge_stores)
    pruning = actions.add_parser("prune", help="remove stores that this version cannot read, or that are old")
    pruning.add_argument("root", nargs="?", type=Path, default=Path(ROOT), help=f"folder of stores (default: {ROOT})")
    pruning.add_argument("--days", type=float, help="also those that no run has used for so many days")
    pruning.add_argument("--yes", action="store_true", help="do remove them; without it they are only listed")
    pruning.set_defaults(action=prune_stores)
    return commands


def list_stores(options: argparse.Namespace) -> int:
    """Print a line per store."""
    from mfv.activations.store import ShardedStore

    rows, others = [("store", "network", "holds", "images", "done", "size", "used")], []
    for folder in stores(options.root):
        try:
            store = ShardedStore.open(folder)
        except MfvError as error:
            others.append(str(error))
            continue
        done = f"{100 * (1 - len(store.missing()) / max(1, store.shards)):.0f} %"
        about = store.description
        held = str(about.get("layer", f"codes ({about.get('codes')})"))
        size, used = f"{megabytes(folder):,.0f} MB", f"{days_since_use(folder):.0f} days ago"
        rows.append((folder.name, str(about.get("model")), held, f"{store.rows:,}", done, size, used))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for problem in others:
        print(problem)
    return 0


def verify_stores(options: argparse.Namespace) -> int:
    """Read stores through and name what is damaged."""
    from mfv.activations.store import ShardedStore

    damaged = unreadable = 0
    for folder in stores(options.folder):
        try:
            store = ShardedStore.open(folder)
        except MfvError as error:
            print(error)
            unreadable += 1
            continue
        damages = store.verify()
        missing = len(store.missing())
        print(f"{folder}: {store.shards - missing} of {store.shards} shards, {len(damages)} damaged")
        for damage in damages:
            print(f"  {damage}")
            if options.repair:
                damage.path.unlink()
                print("    removed: the run's own command makes it again")
        damaged += len(damages)
    return 1 if unreadable or (damaged and not options.repair) else 0


def merge_stores(options: argparse.Namespace) -> int:
    """Copy what is missing."""
    from mfv.activations.store import ShardedStore
    from mfv.processes import taking_turns

    alone = (options.into / "manifest.json").exists()
    if not alone:
        check_place_of_stores(options.into)
    for folder in (folder for other in options.others for folder in stores(other)):
        other = ShardedStore.open(folder)
        place = options.into if alone else options.into / folder.name
        into = (
            ShardedStore.open(place) if alone else ShardedStore(place, other.description, other.rows, other.shard_rows)
        )
        with taking_turns(into.directory):
            copied = into.merge(other)
        print(f"{copied} shards from {folder}; {len(into.missing())} of {into.shards} are missing now")
    return 0


def prune_stores(options: argparse.Namespace) -> int:
    """Remove stores, or say which would be."""
    from mfv.activations.store import read_manifest

    if options.days is not None and not options.days >= 0:
        raise MfvError(f"--days is {options.days:g}; it is a number of days, 0 or more")
    for folder in stores(options.root):
        try:
            read_manifest(folder)
            reason = ""
        except MfvError as error:
            reason = str(error)
        if not reason and options.days is not None and days_since_use(folder) >= options.days:
            reason = f"not used for {days_since_use(folder):.0f} days"
        if reason:
            if options.yes:
                remove(folder)
            print(f"{'removed' if options.yes else 'to be removed (--yes)'}: {folder}: {reason}")
    return 0


def remove(folder: Path) -> None:
    """Remove a store; `MfvError` where that may not be."""
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise MfvError(f"{folder} cannot be removed ({error.strerror})") from error


def check_place_of_stores(folder: Path) -> None:
    """Raise `MfvError` where new stores would lie among other things: a folder for them is new, empty, or has some."""
    if folder.exists() and not folder.is_dir():
        raise MfvError(f"{folder} is a file; name a store, or a folder of stores, to merge into")
    if folder.is_dir() and any(folder.iterdir()) and not any(folder.glob("*/manifest.json")):
        raise MfvError(f"{folder} holds other things and no activation store: name a folder of stores, or a new one")


def stores(folder: Path) -> list[Path]:
    """Return the stores in a folder, or the folder itself where it is one."""
    if (folder / "manifest.json").exists():
        return [folder]
    if not folder.is_dir():
        raise MfvError(f"there is no folder {folder}; name that of the stores (store.root of your runs)")
    found = sorted(path.parent for path in folder.glob("*/manifest.json"))
    if not found:
        raise MfvError(f"there is no activation store in {folder}: name the folder of them (store.root of your runs)")
    return found


def megabytes(folder: Path) -> float:
    """Return the size of a folder's files."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file()) / 1e6


def days_since_use(folder: Path) -> float:
    """Return how long ago a run opened a store: it touches the manifest."""
    return max(0.0, time.time() - (folder / "manifest.json").stat().st_mtime) / DAY
