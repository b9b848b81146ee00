"""Copies of a library that were linked statically or vendored: found by the library's own strings.

A graft cannot replace them, and no reference tells of them. What is sought are messages: strings of
a library's files that hold a space, so that the names of its symbols, which whoever links against
it has as well, are none of them. Tables of numbers are no sign: those of a cipher or a checksum are
in every implementation of it.

The rules: a file is a copy if it holds a string of the library in which the library's version
stands, or MANY of its other strings, which make up SHARE of them all or more.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from graft.contents import WINDOW, regular_files, search_file
from graft.formats.store_path import StorePath
from graft.kernel.anchors import Patterns

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
