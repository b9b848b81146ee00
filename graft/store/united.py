"""Two stores seen as one source: what is not valid in the first comes from the second."""

from __future__ import annotations

from collections.abc import Iterable

from graft.errors import StoreError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import PathInfo, Source


class UnitedStore:
    """What either of two stores has.

    Args:
        first: goes before.
        second: has the same logical store directory; else its paths would mean something else.

    Raises:
        StoreError: it has another.
    """

    def __init__(self, first: Source, second: Source) -> None:
        if first.store_dir != second.store_dir:
            raise StoreError(
                f"the stores '{first.url}' and '{second.url}' have different store directories, "
                f"'{first.store_dir}' and '{second.store_dir}': paths of one mean nothing in the "
                "other",
                stores=[first.url, second.url],
            )
        self._first = first
        self._second = second
        self._homes: dict[StorePath, Source] = {}  # so that threads need not ask the databases

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory of both."""
        return self._first.store_dir

    @property
    def url(self) -> str:
        """How messages name them."""
        return f"{self._first.url}' and '{self._second.url}"

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """What is registered of those of `paths` that are valid in either store."""
        wanted = set(paths)
        found = self._first.path_infos(wanted)
        others = self._second.path_infos(wanted - found.keys())
        self._homes.update(dict.fromkeys(others, self._second))
        self._homes.update(dict.fromkeys(found, self._first))
        return {**others, **found}

    def valid_paths(self) -> set[StorePath]:
        """Every path that is valid in either store."""
        return self._first.valid_paths() | self._second.valid_paths()

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Keeps the paths from the collectors of both stores."""
        paths = list(paths)
        self._first.protect(paths)
        self._second.protect(paths)

    def tree(self, path: StorePath) -> str:
        """Where the object of a valid path lies, in the first store if it is valid there."""
        if path not in self._homes:
            self.path_infos([path])
        return self._homes.get(path, self._first).tree(path)
