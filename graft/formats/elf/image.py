"""An ELF file as a dynamic loader sees it: what PT_DYNAMIC says, and tables by their addresses.

Section headers may be missing or lie, and a file's size hardly matters. Source: the System V gABI,
chapters 4 and 5. An ELF file from a cache is a stranger's word: every table lies in its file, and
names take no more memory than the file has earned.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from graft.errors import BadFormatError

Read = Callable[[int, int], bytes]
"""Gives, from an offset of a file, so many bytes, or what there is."""

MAGIC: Final = b"\x7fELF"

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_SHT_NOBITS: Final = 8
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ = 1, 5, 10
_LONGEST_PATH: Final = 4096  # PATH_MAX
# More than any program has, and less than a stranger could ask for.
_MOST_NEEDED: Final = 10_000
_LARGEST_TABLE: Final = 256 << 20  # bytes


def open_image(read: Read, size: int) -> ElfImage | None:
    """A file's image; None if it is no ELF file, or none that a dynamic loader has to do with.

    Raises:
        BadFormatError: it is one, but broken.
    """
    head = read(0, 64)
    if head[:4] != MAGIC or len(head) < 52 or head[4] not in {1, 2} or head[5] not in {1, 2}:
        return None
    wide, order = head[4] == 2, "<" if head[5] == 1 else ">"
    if wide and len(head) < 64:
        return None
    machine, phoff, shoff = struct.unpack_from(
        f"{order}2xH4x{'8xQQ' if wide else '4xII'}", head, 16
    )
    entry, count = struct.unpack_from(f"{order}HH", head, 54 if wide else 42)
    form = struct.Struct(order + ("II6Q" if wide else "8I"))
    if not count or entry != form.size:
        return None
    table = read(phoff, form.size * count)
    if len(table) < form.size * count:
        raise broken("its program headers are not in the file")
    loads, dynamic, interpreter = [], None, None
    for fields in form.iter_unpack(table):
        if wide:
            kind, _flags, offset, address, _, file_size, _, _ = fields
        else:
            kind, offset, address, _, file_size, _, _flags, _ = fields
        if kind == _PT_LOAD:
            loads.append((address, offset, file_size))
        elif kind == _PT_DYNAMIC:
            dynamic = (address, offset, file_size)
        elif kind == _PT_INTERP:
            interpreter = (offset, file_size)
    if dynamic is None or not dynamic[2]:
        return None
    sections = struct.unpack_from(f"{order}HH", head, 58 if wide else 46)
    if _is_left_out(read, (wide, order), shoff, sections, dynamic[0]):
        return None
    image = ElfImage(read, size, (head[4], head[5], machine), loads)
    image.read_dynamic(dynamic[1], dynamic[2], interpreter)
    return image


def _is_left_out(
    read: Read, form: tuple[bool, str], offset: int, sections: tuple[int, int], address: int
) -> bool:
    """Whether a file has only the place of its dynamic part: one of debugging information alone."""
    wide, order = form
    entry, count = sections
    section = struct.Struct(order + ("4xI8xQ40x" if wide else "4xI4xI24x"))
    if not offset or entry != section.size:
        return False
    table = read(offset, section.size * count)
    whole = len(table) - len(table) % section.size
    return any(
        kind == _SHT_NOBITS and at == address for kind, at in section.iter_unpack(table[:whole])
    )


def _joined(loads: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Segments, those being one that follow each other in memory and in the file.

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


def broken(what: str) -> BadFormatError:
    """The error about a file."""
    return BadFormatError(f"broken ELF file: {what}")


class ElfImage:
    """The tables of a file by the addresses they are loaded at.

    Attributes:
        read: gives its bytes.
        machine: class (1: 32 bits, 2: 64), byte order (1: little) and machine, as in its header.
        wide: whether it has 64 bits.
        order: `<` or `>`, as struct has byte orders.
        interpreter: the loader that a program asks for.
        values: of PT_DYNAMIC, by tag.
        needed: the libraries, where their names are.
    """

    def __init__(
        self,
        read: Read,
        size: int,
        machine: tuple[int, int, int],
        loads: list[tuple[int, int, int]],
    ) -> None:
        self.read = read
        self._size = size
        self.machine = machine
        self._loads = _joined(loads)
        self.wide = machine[0] == 2
        self.order = "<" if machine[1] == 1 else ">"
        self.interpreter: bytes | None = None
        self.values: dict[int, int] = {}
        self.needed: list[int] = []
        self._strings = b""
        self._names: dict[int, bytes] = {}
        self._names_left = 0

    def read_dynamic(self, offset: int, size: int, interpreter: tuple[int, int] | None) -> None:
        """Reads what leads to all the rest."""
        if interpreter is not None:
            text = self.read(interpreter[0], min(interpreter[1], _LONGEST_PATH))
            self.interpreter = text.partition(b"\0")[0]
        form = struct.Struct(self.order + ("QQ" if self.wide else "II"))
        if offset + size > self._size:
            raise broken("its dynamic section is not in the file")
        table = self.read(offset, size - size % form.size)
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
