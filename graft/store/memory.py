"""A store that is only a graph in memory: for plans over closures that are nowhere on this disk."""

from __future__ import annotations

from collections.abc import Iterable

from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import PathInfo


class MemoryStore:
    """Valid paths and their references, without contents.

    Args:
        store_dir: the logical store directory.
        infos: what is valid from the start.
    """

    def __init__(self, store_dir: str = "/nix/store", infos: Iterable[PathInfo] = ()) -> None:
        self._store_dir = StoreDir(store_dir)
        self._infos = {info.path: info for info in infos}

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self._store_dir

    @property
    def url(self) -> str:
        """How messages name the store."""
        return "memory"

    def add(self, info: PathInfo) -> None:
        """Makes a path valid, or registers it anew."""
        self._infos[info.path] = info

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """What is registered of those of `paths` that are valid."""
        return {path: self._infos[path] for path in paths if path in self._infos}

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""
        return set(self._infos)
