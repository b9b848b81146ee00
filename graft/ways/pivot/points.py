"""Pivot points: paths that are marked as looking something up at run time.

Source: the gist "Nixpkgs Pivots": a package has a file `$out/nix-support/pivots/<type>` for each
type of data its programs look for.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from graft.formats.store_path import StorePath
from graft.store.api import LocalSource
from graft.ways.pivot.following import follow

MARKERS: Final = "nix-support/pivots"


@dataclass(frozen=True, slots=True, kw_only=True)
class PivotPoint:
    """A path that is marked.

    Attributes:
        types: the types of data its programs look for, sorted.
    """

    path: StorePath
    types: tuple[str, ...]


def find_points(store: LocalSource, paths: Iterable[StorePath]) -> list[PivotPoint]:
    """The paths that are marked, sorted.

    An environment that links its packages' files has links to their markers, but nothing looks for
    the environment's own name: such links are no markers.
    """
    found = ((path, pivot_types(store, path)) for path in sorted(paths))
    return [PivotPoint(path=path, types=types) for path, types in found if types]


def pivot_types(store: LocalSource, path: StorePath) -> tuple[str, ...]:
    """The types one path is marked with, sorted."""
    directory = follow(store, path, MARKERS)
    if directory is None or not os.path.isdir(directory):
        return ()
    return tuple(
        sorted(
            name
            for name in os.listdir(directory)
            if not name.startswith(".") and not _is_forwarded(os.path.join(directory, name))
        )
    )


def _is_forwarded(marker: str) -> bool:
    return os.path.islink(marker) and f"/{MARKERS}/" in os.readlink(marker)
