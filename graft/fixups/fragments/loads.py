"""Which functions of an ELF file load which of its bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from graft.fixups.fragments import x86
from graft.fixups.fragments.text import HASH_LENGTH
from graft.formats.elf.sections import X86_64, ElfSections, Image

Span = tuple[int, int]
"""The offsets of something's first byte in a file, and of its end."""

_CONSTANT: Final = 64
"""The largest constant an instruction loads, in bytes."""


class Loads:
    """The operands in a file's code that are at a distance from it.

    Args:
        data: the file.
        elf: what is known of it.
        whole: where whole hash parts begin in it: the operands near them are found in one pass,
            for all that are looked for.
    """

    def __init__(self, data: Image, elf: ElfSections, whole: Iterable[int]) -> None:
        self._data = data
        self._elf = elf
        spans = {(offset, offset + HASH_LENGTH) for offset in whole}
        self._near = [
            (at, offset)
            for at, target in self._operands(self._ranges(spans).values())
            if (offset := elf.offset(target)) is not None
        ]

    def of(self, spans: Iterable[Span]) -> Iterator[Span]:
        """The functions that load a part of some hash parts that are whole."""
        spans = list(spans)
        for at, offset in self._near:
            size = self.size(at)
            if any(offset < end and start < offset + size for start, end in spans):
                yield self._elf.function(at)

    def users(self, constants: set[Span]) -> dict[Span, set[Span]]:
        """The functions that refer to each of some constants, be it that they load it or not."""
        users: dict[Span, set[Span]] = {span: set() for span in constants}
        ranges = self._ranges(constants)
        for at, target in self._operands(ranges.values()):
            size = self.size(at) or 1
            for span, (low, high) in ranges.items():
                if target < high and low + _CONSTANT - 1 < target + size:
                    users[span].add(self._elf.function(at))
        return users

    def in_function(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The file offsets of a function's operands, and sizes; operands in the function itself are
        apart.
        """
        address = self._elf.address(start)
        if address is None or self._elf.machine != X86_64:
            return
        for at, target in x86.relative_operands(self._data, start, end, address):
            offset = self._elf.offset(target)
            if offset is not None and not start <= offset < end:
                yield offset, self.size(at)

    def size(self, at: int) -> int:
        """The bytes that the instruction with a ModRM byte takes; 0 if it loads nothing known."""
        return x86.operand_size(self._data[max(0, at - 6) : at], min(at, 6))

    def _ranges(self, spans: Iterable[Span]) -> dict[Span, tuple[int, int]]:
        """The addresses at which an operand may begin that meets each of some spans."""
        return {
            (start, end): (address - _CONSTANT + 1, address + end - start)
            for start, end in spans
            if (address := self._elf.address(start)) is not None
        }

    def _operands(self, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        wanted = list(ranges)
        for segment in self._elf.segments:
            if segment.executable and wanted and self._elf.machine == X86_64:
                end = segment.offset + segment.size
                yield from x86.operands_within(
                    self._data, segment.offset, end, segment.address, wanted
                )
