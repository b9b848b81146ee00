"""NixOS systems among the roots, and their initrds.

nixpkgs' `system.replaceDependencies` cuts the initrd off by default: its contents are compressed,
and nothing checks them before the machine starts. The links are made by
`nixos/modules/system/activation/top-level.nix`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from graft.formats.store_path import StoreDir, StorePath
from graft.kernel.tree.symlink import led_to
from graft.store.api import PathInfo, Source
from graft.store.objects import TreeObject

_DIRECTORY = "specialisation"


def find_specialisations(tree: str, store_dir: StoreDir) -> dict[str, StorePath]:
    """The specialisations in the tree of a NixOS system, or of a home-manager generation, by name.

    Args:
        tree: the system's tree; the result is empty for a tree that is missing or may not be read.
        store_dir: its logical one.
    """
    directory = os.path.join(tree, _DIRECTORY)
    try:
        names = os.listdir(directory)
    except OSError:
        return {}
    found = {name: led_to(os.path.join(directory, name), store_dir) for name in sorted(names)}
    return {name: path for name, path in found.items() if path is not None}


_PARTS = ("init", "nixos-version", "kernel", "initrd")
_NAME = "nixos-system-"
_LARGEST_ARCHIVE = 1 << 24


def initrds_of_systems(store: Source, roots: Iterable[StorePath]) -> dict[StorePath, StorePath]:
    """The initrds of the roots that are NixOS systems, and of their specialisations.

    Args:
        store: where the roots are. One that is an archive is read only if it is named as a system
            is, and small.

    Returns:
        For each path that holds an initrd, a system that starts with it.

    Raises:
        GraftError: an archive cannot be read.
    """
    found: dict[StorePath, StorePath] = {}
    waiting = list(roots)
    seen = set(waiting)
    while waiting:
        path = waiting.pop()
        info = store.path_infos([path]).get(path)
        if info is None:
            continue
        initrd, specialisations = _links(store, info)
        if initrd is not None:
            if initrd != path:  # else all of the system would be cut off
                found.setdefault(initrd, path)
            new = set(specialisations) - seen
            seen |= new
            waiting += new
    return found


def _links(store: Source, info: PathInfo) -> tuple[StorePath | None, list[StorePath]]:
    """The initrd of a system and its specialisations; None if a path is no system."""
    item = store.store_object(info.path)
    if not isinstance(item, TreeObject) and (
        not info.path.name.startswith(_NAME) or info.nar_size > _LARGEST_ARCHIVE
    ):
        return None, []
    if isinstance(item, TreeObject):
        return _links_of_tree(item.tree, store.store_dir)
    from graft.objects.reading import as_tree  # noqa: PLC0415 - late: most systems are trees

    with as_tree(item) as at:
        return _links_of_tree(at.tree, store.store_dir)


def _links_of_tree(tree: str, store_dir: StoreDir) -> tuple[StorePath | None, list[StorePath]]:
    if not all(os.path.lexists(os.path.join(tree, part)) for part in _PARTS):
        return None, []
    initrd = led_to(os.path.join(tree, "initrd"), store_dir)
    return initrd, list(find_specialisations(tree, store_dir).values())
