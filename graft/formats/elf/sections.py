"""The parts of an ELF file for the search for fragments: the code, and the ends of functions.

Source: System V ABI, "Object Files"; Linux Standard Base, ".eh_frame_hdr".
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from mmap import mmap
from typing import Final, NamedTuple

from graft.formats.elf.headers import MAGIC, ElfHeaders

__all__ = [
    "AARCH64",
    "I386",
    "MAGIC",
    "X86_64",
    "ElfSections",
    "Image",
    "Section",
    "Segment",
]

Image = bytes | mmap
"""The bytes of a file."""

I386: Final = 3
X86_64: Final = 62
AARCH64: Final = 183

_RELOCATABLE = 1
_LOAD, _INTERP, _EH_FRAME_HDR = 1, 3, 0x6474E550
_DYNAMIC = 6
_EXECUTABLE = 1
_NOBITS, _ALLOC, _EXECINSTR = 8, 2, 4
_SYMTAB = 2
_FUNCTION = 2
_PCREL_SDATA4, _UDATA4, _DATAREL_SDATA4 = 0x1B, 0x03, 0x3B
_AROUND = 512
"""Bytes of the last function of a table that does not say where functions end."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of the file that is loaded.

    Attributes:
        offset: in the file, bytes.
        address: in memory.
        size: in the file.
        executable: it may hold code.
    """

    offset: int
    address: int
    size: int
    executable: bool


class Section(NamedTuple):
    """A section's header."""

    type: int
    flags: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def loaded(self) -> bool:
        """Whether its bytes are in the file and go to memory."""
        return self.type != _NOBITS and bool(self.flags & _ALLOC)


class ElfSections:
    """An ELF file's machine, segments and functions.

    In an object file nothing has an address yet: there, each section is a segment at the address
    that its offset in the file is.

    Args:
        data: the whole file.

    Raises:
        ValueError: it is no ELF file of a known form.
    """

    def __init__(self, data: Image) -> None:
        headers = ElfHeaders.open(lambda at, size: data[at : at + size])
        if headers is None:
            raise ValueError("no ELF file")
        self._data = data
        self._headers = headers
        self.wide, self.order, self.machine = headers.wide, headers.order, headers.machine
        self.relocatable = headers.type == _RELOCATABLE
        loaded = self._sections_loaded() if self.relocatable else self._segments_loaded()
        self.segments = [
            Segment(offset, address, min(size, max(0, len(data) - offset)), executable)
            for offset, address, size, executable in loaded
        ]

    def address(self, offset: int) -> int | None:
        """Where a byte of the file is loaded."""
        segment = self.segment(offset)
        return None if segment is None else segment.address + offset - segment.offset

    def offset(self, address: int) -> int | None:
        """Which byte of the file is loaded there."""
        segment = self.segment_at(address)
        return None if segment is None else segment.offset + address - segment.address

    def segment_at(self, address: int) -> Segment | None:
        """The segment whose bytes of the file are loaded around an address."""
        for segment in self.segments:
            if 0 <= address - segment.address < segment.size:
                return segment
        return None

    def segment(self, offset: int) -> Segment | None:
        """The segment that a byte of the file is loaded with."""
        for segment in self.segments:
            if 0 <= offset - segment.offset < segment.size:
                return segment
        return None

    def whole_function(self, offset: int) -> tuple[int, int] | None:
        """The function around a byte of code: its first byte's offset in the file, and its end.

        By the symbol table or the table of frames, up to where the next one or another section
        begins; None if neither says.
        """
        segment = self.segment(offset)
        if segment is None:
            return None
        address = offset - segment.offset + segment.address
        starts, ends = self._functions
        at = bisect_right(starts, address) - 1
        if at < 0 or address >= ends[at]:
            return None
        end = min(ends[at], starts[at + 1]) if at + 1 < len(starts) else ends[at]
        move = segment.offset - segment.address
        start = max(starts[at] + move, segment.offset)
        ends_of_code = [last for first, last in self._code if first <= start < last]
        return start, min(end + move, segment.offset + segment.size, *ends_of_code)

    @cached_property
    def _code(self) -> list[tuple[int, int]]:
        """The spans of the sections that hold code; empty in a file without sections."""
        try:
            sections = self.sections
        except ValueError:
            return []
        return [
            (section.offset, section.offset + section.size)
            for section in sections
            if section.loaded and section.flags & _EXECINSTR
        ]

    @cached_property
    def loader_texts(self) -> list[tuple[int, int]]:
        """The spans of texts that only the loader reads: its own name, and the dynamic strings."""
        spans = [
            (header.offset, header.offset + header.size)
            for header in self._headers.program_headers
            if header.type == _INTERP
        ]
        spans += [
            (names.offset, names.offset + names.size)
            for section in self.sections
            if section.type == _DYNAMIC and section.link < len(self.sections)
            for names in [self.sections[section.link]]
        ]
        return sorted(spans)

    def _segments_loaded(self) -> Iterator[tuple[int, int, int, bool]]:
        if len(self._headers.program_headers) < self._headers.programs.entries:
            raise ValueError("an ELF file without its program headers")
        for kind, flags, offset, address, size in self._headers.program_headers:
            if kind == _LOAD:
                yield offset, address, size, bool(flags & _EXECUTABLE)

    def _sections_loaded(self) -> Iterator[tuple[int, int, int, bool]]:
        for section in self.sections:
            if section.loaded and section.size:
                executable = bool(section.flags & _EXECINSTR)
                yield section.offset, section.offset, section.size, executable

    @cached_property
    def sections(self) -> list[Section]:
        """All of them, by their indexes; ValueError if they are not in the file."""
        if len(self._headers.section_headers) < self._headers.sections.entries:
            raise ValueError("an ELF file without its section headers")
        return [
            Section(header.type, header.flags, header.offset, header.size, header.link, header.info)
            for header in self._headers.section_headers
        ]

    @cached_property
    def _functions(self) -> tuple[list[int], list[int]]:
        """The addresses at which functions begin, ascending, and at which each ends."""
        try:
            spans = self._symbols(self._data) or self._frames(self._data)
        except (ValueError, struct.error):  # tables beyond the file's end
            spans = []
        return [start for start, _ in spans], [end for _, end in spans]

    def _symbols(self, data: Image) -> list[tuple[int, int]]:
        """The functions of a full symbol table; empty if only the loader's symbols are left."""
        form, fields = ("IBBHQQ", (4, 5, 1, 3)) if self.wide else ("IIIBBH", (1, 2, 3, 5))
        value, length, info, section = fields
        entry = struct.Struct(self.order + form)
        for table in self.sections:
            if table.type != _SYMTAB:
                continue
            size = table.size - table.size % entry.size
            return sorted(
                {
                    (start, start + symbol[length])
                    for symbol in entry.iter_unpack(data[table.offset : table.offset + size])
                    if symbol[info] & 15 == _FUNCTION and symbol[length]
                    if (start := self.place(symbol[section], symbol[value])) is not None
                }
            )
        return []

    def place(self, section: int, value: int) -> int | None:
        """A symbol's address; None if another file has it, in an object file."""
        if not self.relocatable:
            return value
        return self.sections[section].offset + value if 0 < section < len(self.sections) else None

    def _frames(self, data: Image) -> list[tuple[int, int]]:
        """The functions of .eh_frame_hdr's table; each ends where the next begins."""
        for kind, _, offset, address, size in self._headers.program_headers:
            if kind != _EH_FRAME_HDR or size < 12:
                continue
            if data[offset : offset + 4] != bytes([1, _PCREL_SDATA4, _UDATA4, _DATAREL_SDATA4]):
                return []
            (count,) = struct.unpack(f"{self.order}I", data[offset + 8 : offset + 12])
            table = data[offset + 12 : offset + size][: 8 * count]
            rows = struct.iter_unpack(self.order + "ii", table[: len(table) // 8 * 8])
            starts = sorted(address + start for start, _ in rows)
            return list(zip(starts, [*starts[1:], starts[-1] + _AROUND], strict=True))
        return []
