"""Directories of pivots as store objects, registered with all that their bytes refer to."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from graft.errors import StoreError
from graft.formats.store_path import StorePath, make_store_path
from graft.kernel.tree import copy_tree
from graft.objects.references import WantedPaths
from graft.store.api import LocalTarget, PathInfo, path_info
from graft.ways.pivot.directory import fill_directory
from graft.ways.pivot.pivots import Pivots
from graft.ways.pivot.targets import in_store

OBJECT_FORMAT: Final = "graft-pivots-1"
"""First line of the text an object is named after; raised when the bytes made change."""

_NAME: Final = "pivots"


def object_name(pivots: Pivots) -> StorePath:
    """The store path of an object: a function of its contents, which its record says whole."""
    text = f"{OBJECT_FORMAT}\n{pivots.record()}"
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    return make_store_path("output:graft", digest, _NAME, pivots.store_dir)


def register_object(store: LocalTarget, pivots: Pivots) -> StorePath:
    """Makes and registers a directory of pivots in the store, if it is not there.

    Links that lead into the store are followed, so that it refers to the paths it leads to. It
    refers to the root and the pivot points as well, whose names are in it: a graft that moves them
    moves their names in it.

    Until the store is closed no collector deletes it.

    Raises:
        StorePermissionError: this user may not write into the store.
        StoreError: it is registered, but not on disk.
        InvalidPathError: a target is in a store path that is not valid.
    """
    store.check_writable()
    pivots, leads_to = _inside(store, pivots)
    path = object_name(pivots)
    wanted = {pivots.root, *pivots.links, *leads_to.values()}
    store.protect([*wanted, path])
    for reference in sorted(wanted):
        path_info(store, reference)
    with store.making([path]) as making:
        if path in making.lost:
            full = pivots.store_dir.path(path)
            raise StoreError(
                f"path '{full}' is registered, but not on disk: delete it with 'nix-store "
                f"--delete {full}' first",
                path=full,
            )
        if path in making.missing:
            making.finish(_make(path, making.staging(path), pivots, wanted, store.owner))
    return path


def _inside(store: LocalTarget, pivots: Pivots) -> tuple[Pivots, Mapping[str, StorePath]]:
    real = os.path.dirname(store.tree(pivots.root))
    found = {
        kind: in_store(target, pivots.store_dir, real) for kind, target in pivots.targets.items()
    }
    targets = {kind: text for kind, (text, _) in found.items()}
    leads_to = {kind: path for kind, (_, path) in found.items() if path is not None}
    return replace(pivots, targets=targets), leads_to


def _make(
    path: StorePath,
    staging: str,
    pivots: Pivots,
    wanted: set[StorePath],
    owner: tuple[int, int],
) -> PathInfo:
    digest = hashlib.sha256()
    looked_for = WantedPaths(sorted(wanted))
    with tempfile.TemporaryDirectory(prefix="graft-pivots-") as scratch:
        raw = os.path.join(scratch, _NAME)
        fill_directory(raw, pivots)
        # The copy has a store object's times, modes and owner.
        report = copy_tree(
            raw,
            staging,
            None,
            wanted=looked_for.table,
            sink=digest.update,
            links=False,
            owner=owner,
        )
    return PathInfo(
        path=path,
        nar_hash=digest.digest(),
        nar_size=report.nar_size,
        references=looked_for.seen(report),
        ultimate=True,
    )


def add_automatic_root(store: LocalTarget, state_dir: str, path: StorePath) -> str:
    """Makes a permanent root of an object, `gcroots/graft/<base name>`, and returns its place.

    Raises:
        RootLinkError: it cannot be made.
    """
    directory = os.path.join(state_dir, "gcroots", "graft")
    os.makedirs(directory, exist_ok=True)
    link = os.path.join(directory, path)
    store.add_root(link, path)
    return link
