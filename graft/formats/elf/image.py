"""The loader's view of an ELF file: the entries of PT_DYNAMIC, and tables by their addresses.

Section headers may be missing or lie, and a file's size hardly matters. Source: the System V gABI,
chapters 4 and 5. An ELF file from a cache is a stranger's word: every table lies in its file, and
names take no more memory than the file has earned.
"""

from __future__ import annotations

import struct
from typing import Final

from graft.formats.elf.headers import ElfHeaders, ProgramHeader, Read, broken

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_SHT_NOBITS: Final = 8
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 1, 5, 10
_LONGEST_PATH: Final = 4096  # PATH_MAX
# More than any program has, and less than a stranger could ask for.
_MOST_NEEDED: Final = 10_000
_LARGEST_TABLE: Final = 256 << 20  # bytes


def open_image(read: Read, size: int) -> ElfImage | None:
    """A file's image; None if a dynamic loader has nothing to do with it.

    Raises:
        BadFormatError: it is one, but broken.
    """
    headers = ElfHeaders.open(read)
    if headers is None or not headers.programs.entries or not headers.programs.is_known:
        return None
    if len(headers.program_headers) < headers.programs.entries:
        raise broken("its program headers are not in the file")
    by_type = {header.type: header for header in headers.program_headers}
    dynamic = by_type.get(_PT_DYNAMIC)
    if dynamic is None or not dynamic.size or _is_left_out(headers, dynamic.address):
        return None
    image = ElfImage(headers, size)
    image.read_dynamic(dynamic, by_type.get(_PT_INTERP))
    return image


def _is_left_out(headers: ElfHeaders, address: int) -> bool:
    """Whether a file has only the place of its dynamic part: one of debugging information alone."""
    return any(
        section.type == _SHT_NOBITS and section.address == address
        for section in headers.section_headers
    )


def _joined(loads: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Segments; several that follow each other in memory and in the file are one.

    patchelf lets a table run on from one into the next.
    """
    joined: list[tuple[int, int, int]] = []
    for address, offset, size in sorted(loads):
        if joined:
            start, before, length = joined[-1]
            if start + length == address and before + length == offset:
                joined[-1] = (start, before, length + size)
                continue
        joined.append((address, offset, size))
    return joined


class ElfImage:
    """The tables of a file by the addresses they are loaded at.

    Attributes:
        read: gives its bytes.
        machine: class (1: 32 bits, 2: 64), byte order (1: little) and machine, as in its header.
        wide: whether it has 64 bits.
        order: `<` or `>`, as struct has byte orders.
        interpreter: the loader that a program asks for.
        values: the values of PT_DYNAMIC, by tag.
        needed: the libraries, where their names are.
    """

    def __init__(self, headers: ElfHeaders, size: int) -> None:
        self.read = headers.read
        self._size = size
        self.machine = (*headers.ident, headers.machine)
        self._loads = _joined(
            [
                (header.address, header.offset, header.size)
                for header in headers.program_headers
                if header.type == _PT_LOAD
            ]
        )
        self.wide = headers.wide
        self.order = headers.order
        self.interpreter: bytes | None = None
        self.values: dict[int, int] = {}
        self.needed: list[int] = []
        self._strings = b""
        self._names: dict[int, bytes] = {}
        self._names_left = 0

    def read_dynamic(self, dynamic: ProgramHeader, interpreter: ProgramHeader | None) -> None:
        """Reads the entries that lead to all the rest."""
        if interpreter is not None:
            text = self.read(interpreter.offset, min(interpreter.size, _LONGEST_PATH))
            self.interpreter = text.partition(b"\0")[0]
        form = struct.Struct(self.order + ("QQ" if self.wide else "II"))
        if dynamic.offset + dynamic.size > self._size:
            raise broken("its dynamic section is not in the file")
        table = self.read(dynamic.offset, dynamic.size - dynamic.size % form.size)
        if len(table) % form.size:
            raise broken("its dynamic section is cut off")
        for tag, value in form.iter_unpack(table):
            if not tag:
                break
            if tag == _DT_NEEDED:
                self.needed.append(value)
                if len(self.needed) > _MOST_NEEDED:
                    raise broken("it needs more libraries than any program does")
            else:
                self.values[tag] = value
        if _DT_STRTAB in self.values:
            self._strings = self.table(_DT_STRTAB, self.values.get(_DT_STRSZ, 0))
        # Linkers let names share their ends, but not many times over.
        self._names_left = 16 * len(self._strings) + 4096

    def at(self, address: int, what: str) -> tuple[int, int]:
        """The offset of an address in the file, and how many bytes of its segment follow there."""
        for start, offset, size in self._loads:
            if start <= address < start + size:
                place = offset + address - start
                return place, min(start + size - address, self._size - place)
        raise broken(f"its {what} are in no segment")

    def table(self, tag: int, size: int) -> bytes:
        """So many bytes from where a tag says."""
        offset, most = self.at(self.values[tag], "tables")
        if size > min(most, _LARGEST_TABLE):
            raise broken("a table does not end in its segment, or is larger than any is")
        data = self.read(offset, size)
        if len(data) != size:
            raise broken("a table does not end in the file")
        return data

    def strings(self) -> tuple[int, bytes]:
        """The table of strings: its offset in the file, and its bytes."""
        if _DT_STRTAB not in self.values:
            return 0, b""
        return self.at(self.values[_DT_STRTAB], "tables")[0], self._strings

    def text(self, tag: int) -> bytes | None:
        """The name that a tag says, if it is there."""
        return self.string(self.values[tag]) if tag in self.values else None

    def string(self, offset: int) -> bytes:
        """The name at an offset of the table of strings."""
        found = self._names.get(offset)
        if found is None:
            end = self._strings.find(b"\0", offset)
            if end < 0:
                raise broken("a name is not in its table of strings")
            self._names[offset] = found = self._strings[offset:end]
            self._names_left -= len(found)
            if self._names_left < 0:
                raise broken("its names overlap beyond measure")
        return found
