"""The strings of a program that a rewrite has changed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from graft.fixups.fragments.references import within
from graft.formats.elf.sections import ElfSections
from graft.kernel import HASH_LENGTH

_BLOCK: Final = 1 << 14
_LONGEST: Final = 4096
"""Bytes of a string on each side of a change; longer ones are no constants of a program."""
_PATH: Final = re.compile(rb"[A-Za-z0-9+._?=/-]*")
_NOT_PATH: Final = re.compile(rb"[^A-Za-z0-9+._?=/-]")
_SLASH: Final = 0x2F
_ENDS: Final = 48
"""How many bytes behind a hash part may be the end of a text without a NUL."""


class ChangedString(NamedTuple):
    """A string with a path that has changed.

    Attributes:
        start: the offset of its first byte in the file.
        text: the old bytes, up to the NUL.
        path: where the path begins in it.
        base: where the path's base name begins.
    """

    start: int
    text: bytes
    path: int
    base: int

    def spans(self) -> list[bytes]:
        """The texts that a program may take from it as one: the string, or the path and the
        names below the path.
        """
        slashes = [at for at in range(self.base, self._end) if self.text[at] == _SLASH]
        ends = {*slashes, self._end, len(self.text)}
        return [self.text[start:end] for start in {0, self.path} for end in ends]

    def prefixes(self) -> list[bytes]:
        """The texts that it may be, if a text without a NUL goes over into another."""
        first = min(self.base + HASH_LENGTH, self._end)
        ends = range(first, min(self._end, first + _ENDS))
        return [self.text[start:end] for start in {0, self.path} for end in ends]

    @property
    def _end(self) -> int:
        run = _PATH.match(self.text, self.base)
        return run.end() if run else self.base


def changed_strings(data: bytes, new: bytes, elf: ElfSections) -> Iterator[ChangedString]:
    """The strings that are in memory when a program runs, without the strings of its loader.

    Args:
        data: the original file.
        new: the file after its change, of equal length.
        elf: the known facts of it.
    """
    loader = elf.loader_texts
    for segment in elf.segments:
        at, end = segment.offset, segment.offset + segment.size
        while at < end:
            block = min(end, at + _BLOCK)
            if data[at:block] == new[at:block]:
                at = block
                continue
            at = next(place for place in range(at, block) if data[place] != new[place])
            start = data.rfind(b"\0", max(segment.offset, at - _LONGEST), at) + 1
            start = start or max(segment.offset, at - _LONGEST)
            last = data.find(b"\0", at, min(end, at + _LONGEST))
            last = last if last >= 0 else min(end, at + _LONGEST)
            if not within(at, loader):
                yield _string(data, start, at, last)
                at = max(at + 1, _path_end(data, at, last))
            else:
                at = last + 1


def _string(data: bytes, start: int, at: int, end: int) -> ChangedString:
    base = data.rfind(b"/", start, at)
    before = data[start : base if base >= 0 else at]
    others = [match.end() for match in _NOT_PATH.finditer(before)]
    slash = before.find(b"/", others[-1] if others else 0)
    while before[slash + 1 : slash + 2] == b"/":
        slash += 1
    base = max(base + 1, start) - start
    return ChangedString(start, data[start:end], slash if slash >= 0 else base, base)


def _path_end(data: bytes, at: int, end: int) -> int:
    run = _PATH.match(data, at, end)
    return run.end() if run else at
