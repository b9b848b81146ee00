"""Copies of a library in paths that do not refer to it, which no graft can replace."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graft.errors import InvalidPathError
from graft.formats.nar_reader import Contents, Directory, Entry, Regular, read_archive
from graft.formats.store_path import StorePath
from graft.formats.window import Window
from graft.kernel.anchors import WORD, Patterns
from graft.kernel.tree import Suspicion, read_tree
from graft.objects.file_windows import WINDOW, regular_files, search_file
from graft.objects.reading import as_tree
from graft.store.api import Source
from graft.store.objects import StoreObject, TreeObject
from graft.workers import Workers

LEAST: Final = 16
"""Characters of a string that tells something."""

MANY: Final = 6
"""How many strings of a library are no chance."""

SHARE: Final = 0.05
"""The share of all strings of the library: a program is linked with the parts of it that it
uses."""

MOST: Final = 500
"""How many strings are sought, the longest: a short one may be anybody's."""

_WIDEST: Final = 32
"""Bytes between two places that are looked at, at most."""

PROGRAMS: Final = (b"\x7fELF", b"!<arch>\n", b"MZ", b"\xcf\xfa\xed\xfe", b"\0asm")
"""How programs, libraries and archives of objects begin."""

_STRING: Final = re.compile(rb"(?<=\0)[\t\n\x20-\x7e]{%d,200}(?=\0)" % LEAST)
_LIBRARY: Final = re.compile(rb"\.(?:a|so(?:\.[0-9.]+)?)\Z")
_VERSION: Final = re.compile(r"-(\d+(?:\.\d+)+[a-z]?)(?![0-9A-Za-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A file that holds a copy of a library.

    Attributes:
        file: relative to the tree's top, empty for the top itself.
        offset: the place of the string that is shown, in bytes.
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
    """The messages that identify the libraries of a store path; made once and used by all threads.

    Args:
        path: the store path, for its version.
        tree: where its files are.
        common: trees whose strings say nothing: the libraries that everything is linked with.

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

    def judged(self, file: bytes, places: Mapping[int, int]) -> Copy | None:
        """The copy in a file; None if the found messages may be chance.

        Args:
            file: relative to its tree's top.
            places: the first offset of each of its strings that are in the file, by the string's
                index.
        """
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

    def _has_version(self, string: bytes) -> bool:
        if self.version is None:
            return False
        version = re.escape(self.version.encode())
        return re.search(rb"(?<![0-9.])%s(?![0-9])" % version, string) is not None


class StringTable:
    """The strings of several libraries in one table: each file is read once for all of them.

    Args:
        likenesses: the libraries' likenesses.
    """

    def __init__(self, likenesses: Sequence[Likeness]) -> None:
        self._likenesses = likenesses
        owners: dict[bytes, list[tuple[int, int]]] = {}
        for which, likeness in enumerate(likenesses):
            for index, string in enumerate(likeness.strings):
                owners.setdefault(string, []).append((which, index))
        self._sizes = [len(string) for string in owners]
        self._owners = list(owners.values())
        shortest = min(self._sizes, default=LEAST)
        self._patterns = Patterns(owners, min(shortest - WORD + 1, _WIDEST))

    def in_tree(
        self,
        tree: str | bytes,
        sought: Collection[int],
        on_bytes: Callable[[int], object] = lambda _: None,
        *,
        programs: bool = False,
    ) -> Iterator[tuple[int, Copy]]:
        """The copies in a tree, each with the index of its likeness.

        Args:
            sought: indices of the likenesses that are looked for.
            on_bytes: called with the number of bytes read since the last call.
            programs: whether only programs, libraries and archives of objects are looked at.

        Raises:
            TreeError: something cannot be read.
        """
        top = os.fsencode(tree)
        suspicion = Suspicion(self._patterns.anchors, PROGRAMS if programs else ())
        report = read_tree(top, suspicions=(suspicion,))
        on_bytes(report.bytes_read)
        files = {suspect.file for suspect in report.suspects if suspect.where == "contents"}
        for file in sorted(files):
            path = os.path.join(top, file) if file else top
            offsets: dict[int, int] = {}
            for base, found in search_file(path, self._find, self._patterns.longest):
                offsets.setdefault(found.index, base + found.offset)
            yield from self._judged(file, offsets, sought)

    def in_archive(
        self,
        window: Window,
        sought: Collection[int],
    ) -> Iterator[tuple[int, Copy]]:
        """The same in a NAR that passes.

        Args:
            window: at the beginning of the NAR, which is all of the stream.
            sought: as for `in_tree`.

        Raises:
            BadFormatError: the stream is no NAR.
        """
        names: list[bytes] = []
        offsets: dict[int, int] = {}
        passed = 0  # bytes of the current file
        keep = max(self._patterns.longest - 1, 0)
        for event in read_archive(window):
            if isinstance(event, Entry):
                names.append(bytes(event.name))
                continue
            if isinstance(event, Regular):
                offsets, passed = {}, 0
                continue
            if isinstance(event, Directory):
                continue
            if isinstance(event, Contents):
                for found in self._find(event.data):
                    offsets.setdefault(found.index, passed + found.offset)
                if not event.final:  # a string may go on behind the last bytes: they come again
                    event.taken = max(len(event.data) - keep, 0)
                    passed += event.taken
                    continue
                yield from self._judged(b"/".join(names), offsets, sought)
            del names[-1:]
        window.pass_on()

    def _judged(
        self, file: bytes, offsets: Mapping[int, int], sought: Collection[int]
    ) -> Iterator[tuple[int, Copy]]:
        places: defaultdict[int, dict[int, int]] = defaultdict(dict)
        for string, offset in offsets.items():
            for which, index in self._owners[string]:
                places[which][index] = offset
        for which in sorted(places):
            copy = self._likenesses[which].judged(file, places[which])
            if copy is not None and which in sought:
                yield which, copy

    def _find(self, data: memoryview) -> Iterator[_Place]:
        for offset, index in self._patterns.find(data):
            yield _Place(offset, self._sizes[index], index)


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
        copy: the file, and the string that it was known by.
    """

    path: StorePath
    old: StorePath
    copy: Copy


class CopyFinder:
    """Finds copies of the libraries of some paths; made once and used by all threads.

    Args:
        source: where the paths are valid.
        olds: the paths.
        programs: whether only programs, libraries and archives of objects in trees are looked at,
            and no NAR.

    Attributes:
        known: the paths, each with its likeness.

    Raises:
        InvalidPathError: one of them is not valid.
        TreeError, CacheError, CorruptCacheError: one of them cannot be read.
    """

    def __init__(
        self, source: Source, olds: Sequence[StorePath], *, programs: bool = False
    ) -> None:
        self._source, self._programs = source, programs
        self._found: dict[StorePath, list[tuple[StorePath, Copy]]] = {}
        valid = source.path_infos(olds)
        self.known: list[tuple[StorePath, Likeness]] = []
        for old in olds:
            if old not in valid:
                full = source.store_dir.path(old)
                raise InvalidPathError(f"path '{full}' is not valid", path=full)
            item = source.store_object(old)
            if programs and not isinstance(item, TreeObject):
                continue  # a NAR would be unpacked, and NARs are not searched for its library
            with as_tree(item) as tree:
                self.known.append((old, Likeness(old, tree.tree)))
        self._table = StringTable([likeness for _, likeness in self.known])

    def in_object(
        self,
        item: StoreObject,
        references: Iterable[StorePath] = (),
        on_bytes: Callable[[int], object] = lambda _: None,
    ) -> list[tuple[StorePath, Copy]]:
        """The copies in an object, and whose they are.

        Args:
            references: the object's references: libraries that it refers to are not sought in it.
            on_bytes: called with the number of bytes read since the last call.

        Raises:
            TreeError, CacheError, CorruptCacheError: something cannot be read.
        """
        left_out = set(references)
        sought = [index for index, (old, _) in enumerate(self.known) if old not in left_out]
        if not sought:
            return []
        if isinstance(item, TreeObject):
            found = list(self._table.in_tree(item.tree, sought, on_bytes, programs=self._programs))
        elif self._programs:
            found = []
        else:
            with item.open() as nar:
                window = Window(nar.readinto, lambda chunk: on_bytes(len(chunk)))
                found = list(self._table.in_archive(window, sought))
        found.sort(key=lambda each: (each[0], each[1].file))
        return [(self.known[which][0], copy) for which, copy in found]

    def in_paths(
        self,
        paths: Iterable[StorePath],
        *,
        jobs: int | None = None,
        on_bytes: Callable[[int], object] | None = None,
    ) -> list[FoundCopy]:
        """The copies in paths, such as a closure's; each path is read once by a finder.

        Args:
            paths: a path that refers to an OLD is not searched for it, nor is OLD itself.
            jobs: threads; the number of usable processors if None.
            on_bytes: called from any thread with the number of bytes read since the last call.

        Raises: as `in_object`.
        """
        infos = self._source.path_infos(paths)
        new = sorted(infos.keys() - self._found.keys())
        with Workers(jobs, on_bytes) as workers:

            def read(path: StorePath) -> tuple[StorePath, list[tuple[StorePath, Copy]]]:
                left_out = {path, *infos[path].references}
                item = self._source.store_object(path)
                return path, self.in_object(item, left_out, workers.progress)

            self._found |= dict(workers.map(read, new))
        found = [
            FoundCopy(path=path, old=old, copy=copy)
            for path in infos
            for old, copy in self._found[path]
        ]
        return sorted(found, key=lambda each: (each.path, each.copy.file, each.old))
