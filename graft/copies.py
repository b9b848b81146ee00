"""Copies of a library in paths that do not refer to it: what no graft of these can replace."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from graft.errors import InvalidPathError
from graft.formats.store_path import StorePath
from graft.likeness import Copy, Likeness
from graft.reading import as_tree
from graft.store.api import Source
from graft.store.objects import StoreObject
from graft.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCopy:
    """A copy, and where it is.

    Attributes:
        path: the store path it is in.
        old: the path whose library it is a copy of.
        copy: the file, and what it was known by.
    """

    path: StorePath
    old: StorePath
    copy: Copy


class CopyFinder:
    """Finds copies of the libraries of some paths; made once and used by all threads.

    Args:
        source: where the paths are valid.
        olds: the paths.

    Raises:
        InvalidPathError: one of them is not valid.
        TreeError, CacheError, CorruptCacheError: one of them cannot be read.
    """

    def __init__(self, source: Source, olds: Sequence[StorePath]) -> None:
        valid = source.path_infos(olds)
        self.known: list[tuple[StorePath, Likeness]] = []
        for old in olds:
            if old not in valid:
                full = source.store_dir.path(old)
                raise InvalidPathError(f"path '{full}' is not valid", path=full)
            with as_tree(source.store_object(old)) as tree:
                self.known.append((old, Likeness(old, tree.tree)))

    def in_object(
        self,
        item: StoreObject,
        references: Iterable[StorePath] = (),
        on_bytes: Callable[[int], object] = lambda _: None,
    ) -> list[tuple[StorePath, Copy]]:
        """The copies in an object, and whose they are.

        Args:
            references: of the object: what it refers to is not sought in it.
            on_bytes: called with the number of bytes read since the last call.

        Raises:
            TreeError, CacheError, CorruptCacheError: something cannot be read.
        """
        left_out = set(references)
        with as_tree(item) as tree:
            return [
                (old, copy)
                for old, likeness in self.known
                if old not in left_out
                for copy in likeness.copies(os.fsencode(tree.tree), on_bytes)
            ]


def find_copies(
    source: Source,
    paths: Iterable[StorePath],
    olds: Sequence[StorePath],
    *,
    jobs: int | None = None,
    on_bytes: Callable[[int], object] | None = None,
) -> list[FoundCopy]:
    """Searches paths, those of a closure say, for copies of the libraries of others.

    Args:
        source: where all of them are valid.
        paths: those of them that refer to an OLD are not searched for it, nor is OLD itself.
        olds: whose libraries are sought.
        jobs: threads; the number of usable processors if None.
        on_bytes: called from any thread with the number of bytes read since the last call.

    Raises: as CopyFinder and its `in_object`.
    """
    finder = CopyFinder(source, olds)
    infos = source.path_infos(paths)
    with Workers(jobs, on_bytes) as workers:

        def read(path: StorePath) -> list[FoundCopy]:
            left_out = {path, *infos[path].references}
            found = finder.in_object(source.store_object(path), left_out, workers.progress)
            return [FoundCopy(path=path, old=old, copy=copy) for old, copy in found]

        found = [copy for copies in workers.map(read, sorted(infos)) for copy in copies]
    return sorted(found, key=lambda each: (each.path, each.copy.file, each.old))
