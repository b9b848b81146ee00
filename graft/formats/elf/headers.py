"""The headers of an ELF file: its kind, and the places of its segments and sections.

Source: the System V gABI, chapters 4 and 5. The one error here is a file that is no ELF file:
headers that a file lacks, or has in a size that no ABI has, are missing from the lists.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cached_property
from typing import Final, NamedTuple, Self

from graft.errors import BadFormatError

Read = Callable[[int, int], bytes]
"""Gives, from an offset of a file, so many bytes, or the fewer that there are."""

MAGIC: Final = b"\x7fELF"
_LONGEST_NAME: Final = 4096
_FURTHEST: Final = 1 << 62  # an offset that the system's calls still take


def broken(what: str) -> BadFormatError:
    """The error about a file."""
    return BadFormatError(f"broken ELF file: {what}")


class ProgramHeader(NamedTuple):
    """The header of a segment: its type and flags, and its offset in the file, address and size
    there.
    """

    type: int
    flags: int
    offset: int
    address: int
    size: int


class SectionHeader(NamedTuple):
    """The header of a section; `name` is an offset in the section of names."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int


class HeaderTable(NamedTuple):
    """A table of headers, as the file's first header has it.

    Attributes:
        offset: in the file.
        entry_size: bytes of one header.
        entries: how many headers.
        form: in which a header is read, as struct has it.
    """

    offset: int
    entry_size: int
    entries: int
    form: str

    @property
    def is_known(self) -> bool:
        """Whether its headers are as long as the ABI has them."""
        return self.entry_size == struct.calcsize(self.form)


class ElfHeaders:
    """The fields of a file's headers.

    Attributes:
        ident: class (1: 32 bits, 2: 64) and byte order (1: little).
        type, machine: as in the header.
        wide: whether it has 64 bits.
        order: `<` or `>`, as struct has byte orders.
        word: an address or a size, as struct has it.
        programs, sections: where the tables of headers are.
        names: the index of the section of names.
    """

    def __init__(self, read: Read, head: bytes) -> None:
        self._read = read
        self.ident = head[4], head[5]
        self.wide = head[4] == 2
        self.order = "<" if head[5] == 1 else ">"
        self.word = "Q" if self.wide else "I"
        form = f"{self.order}HH4x{'8xQQ' if self.wide else '4xII'}6x5H"
        self.type, self.machine, *tables, self.names = struct.unpack_from(form, head, 16)
        phoff, shoff, phentsize, phnum, shentsize, shnum = tables
        program, section = ("IIQQ8xQ16x", "IIQQQQII16x") if self.wide else ("III4xI4xI4x", "8I8x")
        self.programs = HeaderTable(phoff, phentsize, phnum, self.order + program)
        self.sections = HeaderTable(shoff, shentsize, shnum, self.order + section)

    @classmethod
    def open(cls, read: Read) -> Self | None:
        """The headers of a file; None if it is no ELF file of a known form."""
        head = read(0, 64)
        if head[:4] != MAGIC or len(head) < 52 or head[4] not in {1, 2} or head[5] not in {1, 2}:
            return None
        if head[4] == 2 and len(head) < 64:
            return None
        return cls(read, head)

    @cached_property
    def program_headers(self) -> list[ProgramHeader]:
        """The program headers in the file: fewer than `programs.entries` where it is cut."""
        if self.wide:
            return [ProgramHeader(*fields) for fields in self._headers(self.programs)]
        return [
            ProgramHeader(kind, flags, offset, address, size)
            for kind, offset, address, size, flags in self._headers(self.programs)
        ]

    @cached_property
    def section_headers(self) -> list[SectionHeader]:
        """The section headers in the file: fewer than `sections.entries` where it is cut."""
        return [SectionHeader(*fields) for fields in self._headers(self.sections)]

    def size_place(self, section: int) -> int:
        """The offset in the file of a section's size, a `word`."""
        return self.sections.offset + section * self.sections.entry_size + (32 if self.wide else 20)

    def read(self, offset: int, size: int) -> bytes:
        """The bytes of the file at an offset; fewer at its end."""
        return self._read(offset, size) if max(offset, size) < _FURTHEST else b""

    def section_name(self, section: SectionHeader) -> bytes:
        """A section's name; empty where it is not in the section of names."""
        if self.names >= len(self.section_headers):
            return b""
        names = self.section_headers[self.names]
        if section.name >= names.size:
            return b""
        most = min(names.size - section.name, _LONGEST_NAME)
        name, end, _ = self.read(names.offset + section.name, most).partition(b"\0")
        return name if end else b""

    def _headers(self, table: HeaderTable) -> list[tuple[int, ...]]:
        form = struct.Struct(table.form)
        if not table.offset or not table.is_known:
            return []
        found = self.read(table.offset, form.size * table.entries)
        return list(form.iter_unpack(found[: len(found) - len(found) % form.size]))
