"""A temporary cache of the new paths of a store that another process writes."""

from __future__ import annotations

import urllib.parse
from collections.abc import Collection, Iterable
from typing import Self

from graft.formats.narinfo import NarInfo
from graft.formats.store_path import StorePath
from graft.store.api import PathInfo
from graft.store.local import LocalStore
from graft.store.objects import StoreObject
from graft.store.writable_cache import WritableCache


class IncomingCache(WritableCache):
    """A cache of the new paths of a store: all paths valid in the store are valid here."""

    store: LocalStore
    new_paths: dict[StorePath, None]

    @classmethod
    def below(cls, directory: str, store: LocalStore) -> Self:
        """Makes one for a store.

        Raises:
            StoreError: it cannot be made.
        """
        cache = cls.create(f"file://{urllib.parse.quote(directory)}", store.store_dir)
        cache.store = store
        cache.new_paths = {}
        return cache

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The registrations of the paths among `paths` that are valid in the store or here."""
        paths = set(paths)
        infos = self.store.path_infos(paths)
        return infos | super().path_infos(paths - infos.keys())

    def store_object(self, path: StorePath) -> StoreObject:
        """Where the object of a valid path is."""
        if self.store.path_infos([path]):
            return self.store.store_object(path)
        return super().store_object(path)

    def register(
        self, infos: Collection[NarInfo], *, elsewhere: Collection[StorePath] = ()
    ) -> None:
        """Makes paths valid here, each after all it refers to."""
        references = {reference for info in infos for reference in info.references}
        super().register(infos, elsewhere={*elsewhere, *self.store.path_infos(references)})
        self.new_paths |= dict.fromkeys(info.path for info in infos)
