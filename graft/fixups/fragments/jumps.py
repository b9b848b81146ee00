"""Jumps from one function of a file into the middle of another.

Compilers move code that seldom runs away from its function, and jump there and back.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from graft.formats.elf.sections import X86_64, ElfSections, Image

_X86: Final = re.compile(rb"(?:\x0f[\x80-\x8f]|\xe9)(?=[\0-\xff]{4})")
_ARM: Final = re.compile(rb"[\x14-\x17\x54\x34\x35\xb4\xb5]")
"""The last bytes of b, b.cond, cbz and cbnz."""


class Jumps:
    """Where the jumps of a file's code lead; anything that looks like one counts.

    Args:
        data: the file.
        elf: the known facts of it; it is for x86-64 or AArch64.
    """

    def __init__(self, data: Image, elf: ElfSections) -> None:
        self._data, self._elf = data, elf

    def into(self, start: int, end: int) -> list[int]:
        """The addresses inside a function to which code outside of it jumps.

        Args:
            start: the function's first byte's offset in the file.
            end: the end of it.
        """
        address = self._elf.address(start)
        if address is None:
            return []
        found = []
        at = bisect_left(self._all, (address + 1, 0))
        for target, source in self._all[at:]:
            if target >= address + end - start:
                break
            if not start <= source < end:
                found.append(target)
        return found

    @cached_property
    def _all(self) -> list[tuple[int, int]]:
        """The address to which each leads, and its offset in the file, in order."""
        jumps = self._x86 if self._elf.machine == X86_64 else self._arm
        return sorted(
            jump
            for segment in self._elf.segments
            if segment.executable
            for jump in jumps(segment.offset, segment.offset + segment.size, segment.address)
        )

    def _x86(self, start: int, end: int, address: int) -> Iterator[tuple[int, int]]:
        for match in _X86.finditer(self._data, start, end):
            at = match.end()
            distance = int.from_bytes(self._data[at : at + 4], "little", signed=True)
            target = address + at + 4 - start + distance
            if 0 <= target - address < end - start:
                yield target, match.start()

    def _arm(self, start: int, end: int, address: int) -> Iterator[tuple[int, int]]:
        for match in _ARM.finditer(self._data, start, end):
            at = match.start() - 3
            if (at - start) % 4 == 0:
                word = int.from_bytes(self._data[at : at + 4], "little")
                bits, lowest = (26, 0) if word >> 26 & 31 == 5 else (19, 5)
                distance = word >> lowest & (1 << bits) - 1
                distance -= (distance & 1 << bits - 1) << 1
                yield address + at - start + 4 * distance, at
