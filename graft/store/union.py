"""Several stores seen as one source: a path that is not valid in the first comes from the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from graft.errors import StoreError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import Closeable, PathInfo, Source
from graft.store.objects import StoreObject


class UnitedStore(Closeable):
    """The paths of some stores together.

    Args:
        first: goes before the others.
        others: in their order; each has the logical store directory of the first, else its paths
            would mean something else.

    Raises:
        StoreError: one has another.
    """

    def __init__(self, first: Source, *others: Source) -> None:
        for other in others:
            if first.store_dir != other.store_dir:
                raise StoreError(
                    f"the stores '{first.url}' and '{other.url}' have different store directories, "
                    f"'{first.store_dir}' and '{other.store_dir}': paths of one mean nothing in "
                    "the other",
                    stores=[first.url, other.url],
                )
        self._stores = (first, *others)
        self._homes: dict[StorePath, Source] = {}  # so that threads need not ask the databases

    def __reduce__(self) -> tuple[type[Self], tuple[Source, ...]]:
        return type(self), self._stores

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory of all."""
        return self._stores[0].store_dir

    @property
    def url(self) -> str:
        """How messages name them."""
        return "' and '".join(store.url for store in self._stores)

    @property
    def priority(self) -> int:
        """The priority of the first store."""
        return self._stores[0].priority

    @property
    def is_trusted(self) -> bool:
        """Whether all the stores are."""
        return all(store.is_trusted for store in self._stores)

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The registrations of the paths among `paths` that are valid in any of the stores."""
        wanted = set(paths)
        found: dict[StorePath, PathInfo] = {}
        for store in self._stores:
            here = store.path_infos(wanted - found.keys())
            self._homes.update(dict.fromkeys(here, store))
            found.update(here)
        return found

    def valid_paths(self) -> set[StorePath]:
        """Every path that is valid in any of the stores."""
        return set().union(*(store.valid_paths() for store in self._stores))

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means to the first store."""
        return self._stores[0].resolve(argument)

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Keeps the paths from the collectors of all the stores."""
        paths = list(paths)
        for store in self._stores:
            store.protect(paths)

    def store_object(self, path: StorePath) -> StoreObject:
        """Where the object of a valid path is: in the first store in which it is valid."""
        if path not in self._homes:
            self.path_infos([path])
        return self._homes.get(path, self._stores[0]).store_object(path)

    def close(self) -> None:
        """Closes all the stores."""
        for store in self._stores:
            store.close()
