"""Store paths as people read them: by package, version, and the beginning of the hash part."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from graft.cli.output import print_table
from graft.cli.settings import Settings

if TYPE_CHECKING:
    from graft.formats.store_path import StoreDir, StorePath


def brief_name(path: StorePath) -> str:
    """Package and version: `openssl 3.0.20-bin`."""
    from graft.formats.drv_name import split_drv_name

    return " ".join(filter(None, split_drv_name(path.name)))


def brief_hash(path: StorePath) -> str:
    """The beginning of the hash part, which path arguments take: `qfxj33…`."""
    return f"{path[:6]}…"


def brief_path(path: StorePath) -> str:
    """A path in a few words: `openssl 3.0.20-bin · qfxj33…`."""
    return f"{brief_name(path)} · {brief_hash(path)}"


def print_pairs(
    pairs: Iterable[tuple[StorePath, StorePath]], store_dir: StoreDir, settings: Settings
) -> None:
    """Prints a table of the replacements on stderr, unless it is to be quiet."""
    if settings.quiet:
        return
    rows = list(dict.fromkeys(pairs))
    if settings.verbosity:
        full = [(store_dir.path(old), store_dir.path(new)) for old, new in rows]
        print_table(["replaced", "by"], full, to_stderr=True)
        return
    print_table(
        ["replaced", "", "by", ""],
        [[brief_name(old), brief_hash(old), brief_name(new), brief_hash(new)] for old, new in rows],
        to_stderr=True,
    )
