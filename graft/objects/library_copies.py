"""Copies of a library in paths that do not refer to it: what no graft of these can replace."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from graft.errors import InvalidPathError
from graft.formats.store_path import StorePath
from graft.kernel.anchors import Patterns
from graft.objects.file_windows import WINDOW, regular_files, search_file
from graft.objects.reading import as_tree
from graft.store.api import Source
from graft.store.objects import StoreObject
from graft.workers import Workers

LEAST: Final = 16
"""Characters of a string that tells something."""

MANY: Final = 6
"""How many strings of a library are no chance."""

SHARE: Final = 0.05
"""Of all strings of the library: a program is linked with the parts of it that it uses."""

MOST: Final = 500
"""How many strings are sought, the longest: a short one may be anybody's."""

_STEP: Final = 8
_STRING: Final = re.compile(rb"(?<=\0)[\t\n\x20-\x7e]{%d,200}(?=\0)" % LEAST)
_LIBRARY: Final = re.compile(rb"\.(?:a|so(?:\.[0-9.]+)?)\Z")
_VERSION: Final = re.compile(r"-(\d+(?:\.\d+)+[a-z]?)(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file that holds a copy of a library.

    Attributes:
        file: relative to the tree's top, empty for the top itself.
        offset: of the string that is shown, in bytes.
        text: a string of the library that is in it: with the version, if one is.
        versioned: it has the library's version in it.
        strings: how many of the library's strings are in the file.
        of: how many there are.
    """

    file: bytes
    offset: int
    text: str
    versioned: bool
    strings: int
    of: int


@dataclass(frozen=True, slots=True)
class _Place:
    offset: int
    size: int
    index: int


class Likeness:
    """What the libraries of a store path can be known by; made once and used by all threads.

    Args:
        path: the store path, for its version.
        tree: where its files are.
        common: trees whose strings say nothing: those of what everything is linked with.

    Raises:
        TreeError: a file cannot be read.
    """

    def __init__(
        self, path: StorePath, tree: str | bytes, common: Iterable[str | bytes] = ()
    ) -> None:
        found = _VERSION.search(f"-{path.name.partition('-')[2]}")
        self.version = found[1] if found else None
        strings = dict.fromkeys(_strings_of(tree))
        for other in common:
            for string in _strings_of(other):
                strings.pop(string, None)
        by_length = sorted(strings, key=lambda string: (-len(string), string))
        versioned = [string for string in by_length if self._has_version(string)]
        self.strings = list(dict.fromkeys([*versioned, *by_length]))[:MOST]
        self._versioned = frozenset(
            index for index, string in enumerate(self.strings) if self._has_version(string)
        )
        self._patterns = Patterns(self.strings, _STEP)

    def copies(
        self, tree: str | bytes, on_bytes: Callable[[int], object] = lambda _: None
    ) -> Iterator[Copy]:
        """The files of a tree that hold a copy.

        Args:
            on_bytes: called with the number of bytes read since the last call.

        Raises:
            TreeError: something cannot be read.
        """
        top = os.fsencode(tree)
        for file in regular_files(tree):
            places: dict[int, int] = {}
            path = os.path.join(top, file) if file else top
            for base, found in search_file(path, self._find, self._patterns.longest, on_bytes):
                places.setdefault(found.index, base + found.offset)
            copy = self._judged(file, places)
            if copy is not None:
                yield copy

    def _judged(self, file: bytes, places: dict[int, int]) -> Copy | None:
        versioned = self._versioned.intersection(places)
        enough = len(places) >= max(MANY, SHARE * len(self.strings))
        if not versioned and not enough:
            return None
        shown = min(versioned or places, key=lambda index: places[index])
        return Copy(
            file=file,
            offset=places[shown],
            text=self.strings[shown].decode().strip(),
            versioned=bool(versioned),
            strings=len(places),
            of=len(self.strings),
        )

    def _find(self, data: memoryview) -> Iterator[_Place]:
        for offset, index in self._patterns.find(data):
            yield _Place(offset, len(self.strings[index]), index)

    def _has_version(self, string: bytes) -> bool:
        if self.version is None:
            return False
        version = re.escape(self.version.encode())
        return re.search(rb"(?<![0-9.])%s(?![0-9])" % version, string) is not None


def _strings_of(tree: str | bytes) -> Iterator[bytes]:
    """The messages in the libraries of a tree."""
    top = os.fsencode(tree)
    for file in regular_files(tree):
        if not _LIBRARY.search(file):
            continue
        with open(os.path.join(top, file), "rb") as library:
            carried = b"\0"
            while chunk := library.read(WINDOW):
                data = carried + chunk
                for match in _STRING.finditer(data):
                    if b" " in match[0].strip():
                        yield match[0]
                carried = data[-1024:]


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
