"""Whether two files have the same bytes once the hashes of store paths are renamed."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Iterable

_HASH = re.compile(rb"[0-9abcdfghijklmnpqrsvwxyz]{32}")
_HASH_LENGTH = 32
_BLOCK = 1 << 16
# A reference's characters lie one, two or four bytes apart: ASCII, UTF-16, UTF-32.
_STRIDES = (1, 2, 4)

_Bytes = bytes | mmap.mmap


class Renaming:
    """Left paths to right ones: the hash always, the name too where both are equally long."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._hashes: dict[bytes, bytes] = {}
        self._names: dict[bytes, tuple[bytes, bytes]] = {}
        for left, right in pairs:
            ours, theirs = os.fsencode(os.path.basename(left)), os.fsencode(os.path.basename(right))
            self._hashes[ours[:_HASH_LENGTH]] = theirs[:_HASH_LENGTH]
            if len(ours) == len(theirs):
                self._names[ours[:_HASH_LENGTH]] = (ours, theirs)

    def text(self, data: bytes) -> bytes:
        """Short data with every name renamed."""
        result = bytearray(data)
        for match in re.finditer(rb"(?=" + _HASH.pattern + rb")", data):
            found = self.at(data, match.start(), 1)
            if found is not None:
                result[match.start() : match.start() + len(found[1])] = found[1]
        return bytes(result)

    def at(self, data: _Bytes, start: int, stride: int) -> tuple[bytes, bytes] | None:
        """What begins at a place, and what it is renamed to; None if it is nothing renamed."""
        code = data[start : start + _HASH_LENGTH * stride : stride]
        renamed = self._hashes.get(code)
        if renamed is None:
            return None
        names = self._names.get(code)
        if names is not None:
            length = len(names[0])
            if data[start : start + length * stride : stride] == names[0]:
                return names
        return code, renamed

    def covering(self, data: _Bytes, place: int) -> tuple[int, int, bytes] | None:
        """The renamed hash that a byte is part of: where it begins, its stride, its new form."""
        for stride in _STRIDES:
            for distance in range(_HASH_LENGTH):
                start = place - distance * stride
                if start < 0:
                    break
                found = self.at(data, start, stride)
                if found is not None:
                    return start, stride, found[1]
        return None


def first_difference(left: bytes, right: bytes, renaming: Renaming) -> int | None:
    """The offset of the first byte that differs once the left file is renamed; None if none."""
    with open(left, "rb") as ours, open(right, "rb") as theirs:
        sizes = os.fstat(ours.fileno()).st_size, os.fstat(theirs.fileno()).st_size
        if 0 in sizes:
            return None if sizes[0] == sizes[1] else 0
        with (
            mmap.mmap(ours.fileno(), 0, access=mmap.ACCESS_READ) as a,
            mmap.mmap(theirs.fileno(), 0, access=mmap.ACCESS_READ) as b,
        ):
            return _walk(a, b, renaming)


def difference_in(left: bytes, right: bytes, renaming: Renaming) -> int | None:
    """The same of what two files hold."""
    return _walk(left, right, renaming)


def _walk(a: _Bytes, b: _Bytes, renaming: Renaming) -> int | None:
    """Goes from one differing byte to the next; each must lie in a hash that was renamed.

    So only differing places are looked at closely, and the rest at the speed of memory.
    """
    place = 0
    while True:
        difference = _next_difference(a, b, place)
        if difference is None:
            return None if len(a) == len(b) else min(len(a), len(b))
        found = renaming.covering(a, difference)
        if found is None:
            return difference
        start, stride, expected = found
        end = start + len(expected) * stride
        if b[start:end:stride] != expected:
            return difference
        # what lies between the characters of a wide one must be equal as it is
        for gap in range(1, stride):
            if a[start + gap : end : stride] != b[start + gap : end : stride]:
                return difference
        place = end


def _next_difference(a: _Bytes, b: _Bytes, start: int) -> int | None:
    """The first place from `start` on where two files differ, within the shorter one."""
    end = min(len(a), len(b))
    while start < end:
        stop = min(start + _BLOCK, end)
        if a[start:stop] != b[start:stop]:
            while stop - start > 1:
                middle = (start + stop) // 2
                if a[start:middle] != b[start:middle]:
                    stop = middle
                else:
                    start = middle
            return start
        start = stop
    return None
