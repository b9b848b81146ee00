"""Where a file refers to some of its own bytes: operands of its code, pointers in its data.

Sources: System V ABI, AMD64 supplement, "Relocation"; ELF for the Arm 64-bit Architecture.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple

from graft.fixups.fragments import x86
from graft.formats.elf.sections import AARCH64, I386, X86_64, ElfSections, Image

Range = tuple[int, int]
"""The first address of something, and its end."""

_RELA: Final = 4
_RELR: Final = 19
_ENTRY: Final = struct.Struct("<QQq")
_SYMBOL: Final = struct.Struct("<4x2xHQ8x")
_OPERAND: Final = struct.Struct("<i")
_RELATIVE: Final[dict[int, dict[int, int]]] = {X86_64: {2: 4, 4: 4, 24: 8}, AARCH64: {}}
_ABSOLUTE: Final = {X86_64: {1: 8, 10: 4, 11: 4, 25: 8}, AARCH64: {257: 8}}
"""Bytes of a distance and of an address, by the relocation's type.

In an object file the table of global offsets is taken to be at address 0.
"""
_TABLE: Final = {X86_64: {26: 4, 29: 8}, AARCH64: {}}
"""Distances to that table."""
_DYNAMIC: Final = {X86_64: 8, AARCH64: 1027}
_PAGES: Final = {275, 276}
_PARTS: Final = {277: 0, 278: 0, 284: 1, 285: 2, 286: 3, 299: 4}
"""The shift of the lower twelve bits, by the relocation's type."""
_PAGE_BYTES: Final = re.compile(rb"[\x90\xb0\xd0\xf0]")
_NEAR_BYTES: Final = re.compile(rb"[\x10\x30\x50\x70\x18\x58\x98\x1c\x5c\x9c]")
_EXECUTABLE: Final = 2
_ADDRESS: Final = re.compile(
    rb"\x8d(?<=[\x48\x4c]\x8d)[\x05\x0d\x15\x1d\x25\x2d\x35\x3d](....)", re.DOTALL
)
"""A lea of an address at a distance from it; with one byte first the search is 5 times as fast."""
_ENTRIES: Final = 4096
"""The most entries of a table that are looked at."""
_BLOCK: Final = 256
"""Bytes of a table that are read at once; most tables end after a few entries."""
_SEARCHES: Final = 64
"""How many patterns of three bytes are looked for; where there were more, they have two."""


class Reference(NamedTuple):
    """A place that may refer to bytes of the file.

    Attributes:
        place: its offset.
        address: the address to which it leads.
        in_code: whether it is in an instruction.
        is_pointer: whether the address itself is taken, and nothing loaded. A place that is neither
            that nor in code is of a kind that is not known.
        is_relative: whether it is an operand of x86 at a distance; it may be other bytes, too.
        size: how many addresses it may lead to, from `address` on.
    """

    place: int
    address: int
    in_code: bool
    is_pointer: bool
    is_relative: bool = False
    size: int = 1


def linked(data: Image, elf: ElfSections) -> Image:
    """A file's bytes; for an object file, a copy with the distances to places in the file itself.

    A linker computes them from relocations. All else, immediates and constants among it, is as it
    was, at the same offsets.
    """
    if not elf.relocatable or elf.machine not in _RELATIVE:
        return data
    copy = bytearray(data)
    for place, kind, target in _relocations(data, elf):
        if place + 8 > len(copy):
            continue
        size = _RELATIVE[elf.machine].get(kind) or _TABLE[elf.machine].get(kind)
        if size:
            distance = target - place
            if -(1 << 31) <= distance < 1 << 31:
                copy[place : place + size] = distance.to_bytes(size, "little", signed=True)
        elif kind in _ABSOLUTE[elf.machine]:
            size = _ABSOLUTE[elf.machine][kind]
            if 0 <= target < 1 << 31:
                copy[place : place + size] = target.to_bytes(size, "little")
        elif elf.machine == AARCH64 and target >= 0:
            _link_arm(copy, place, kind, target)
    return bytes(copy)


def _link_arm(copy: bytearray, place: int, kind: int, target: int) -> None:
    (word,) = struct.unpack_from("<I", copy, place)
    if kind in _PAGES:
        pages = (target >> 12) - (place >> 12) & 0x1FFFFF
        word = word & ~0x60FFFFE0 | (pages & 3) << 29 | pages >> 2 << 5
    elif kind in _PARTS:
        word = word & ~0x3FFC00 | (target & 0xFFF) >> _PARTS[kind] << 10
    struct.pack_into("<I", copy, place, word)


def _relocations(data: Image, elf: ElfSections) -> Iterator[tuple[int, int, int]]:
    """The relocations of an object file: the offset of each place, the type, and the target."""
    for table in elf.sections:
        if table.type != _RELA or max(table.info, table.link) >= len(elf.sections):
            continue
        changed, symbols = elf.sections[table.info], elf.sections[table.link]
        entries = data[table.offset : table.offset + table.size - table.size % _ENTRY.size]
        for offset, info, addend in _ENTRY.iter_unpack(entries[: len(entries) // 24 * 24]):
            at = symbols.offset + (info >> 32) * _SYMBOL.size
            if at + _SYMBOL.size > len(data):
                continue
            target = elf.place(*_SYMBOL.unpack_from(data, at))
            kind = info & 0xFFFFFFFF
            if kind in _TABLE.get(elf.machine, ()):
                target = 0
            if target is not None:
                yield changed.offset + offset, kind, target + addend


def addresses(data: Image, elf: ElfSections) -> frozenset[int] | None:
    """The places of addresses in the code of a file; None: any number may be one."""
    if elf.relocatable:
        known = _ABSOLUTE.get(elf.machine, {})
        return frozenset(place for place, kind, _ in _relocations(data, elf) if kind in known)
    return None if _is_fixed(data) else frozenset()


def _is_fixed(data: Image) -> bool:
    """Whether a file is loaded where it says."""
    return int.from_bytes(data[16:18], "little") == _EXECUTABLE


class References:
    """The references to some bytes of a file.

    Args:
        data: the file; an object file as `linked` gives it.
        elf: the known facts of it.
    """

    def __init__(self, data: Image, elf: ElfSections) -> None:
        self._data, self._elf = data, elf

    def to(self, ranges: Iterable[Range]) -> Iterator[Reference]:
        """The places that may refer to some addresses."""
        wanted = merged(ranges)
        if not wanted:
            return
        code = [segment for segment in self._elf.segments if segment.executable]
        for segment in code:
            end = segment.offset + segment.size
            if self._elf.machine == X86_64:
                yield from self._relative(segment.offset, end, segment.address, wanted)
            elif self._elf.machine == AARCH64:
                yield from self._pages(segment.offset, end, segment.address, wanted)
        yield from self._words(wanted)
        yield from self._pointers(wanted)

    def _relative(
        self, start: int, end: int, address: int, wanted: list[Range]
    ) -> Iterator[Reference]:
        for at, target in x86.operands_within(self._data, start, end, address, wanted):
            if within(target, wanted):
                is_pointer = self._data[at - 1] == 0x8D and self._data[at - 2] & 0xF8 == 0x48
                yield Reference(at, target, in_code=True, is_pointer=is_pointer, is_relative=True)

    def _pages(
        self, start: int, end: int, address: int, wanted: list[Range]
    ) -> Iterator[Reference]:
        pages = {page for low, high in wanted for page in range(low >> 12, (high >> 12) + 1)}
        for match in _PAGE_BYTES.finditer(self._data, start, end):
            at = match.start() - 3
            if (at - start) % 4 == 0:
                word = int.from_bytes(self._data[at : at + 4], "little")
                distance = (word >> 5 & 0x7FFFF) << 2 | word >> 29 & 3
                distance -= (distance & 1 << 20) << 1
                page = (address + at - start >> 12) + distance
                if page in pages:
                    yield Reference(at, page << 12, in_code=True, is_pointer=False, size=1 << 12)
        low, high = wanted[0][0] - (1 << 20), wanted[-1][1] + (1 << 20)
        if not low <= address < high and not low <= address + end - start < high:
            return
        for match in _NEAR_BYTES.finditer(self._data, start, end):
            at = match.start() - 3
            if (at - start) % 4 == 0:
                word = int.from_bytes(self._data[at : at + 4], "little")
                distance = (word >> 5 & 0x7FFFF) << 2
                distance -= (distance & 1 << 20) << 1
                if word & 0x1F000000 == 0x10000000:
                    distance |= word >> 29 & 3
                target = address + at - start + distance
                if within(target, wanted):
                    yield Reference(at, target, in_code=True, is_pointer=False)

    def _words(self, wanted: list[Range]) -> Iterator[Reference]:
        """Addresses as they stand, and distances from the table of global offsets."""
        if self._elf.relocatable:
            return
        bases = {0} if _is_fixed(self._data) or self._packed else set()
        if self._elf.machine in {X86_64, I386}:
            bases |= set(self.tables)
        for base in sorted(bases):
            moved = [(low - base, high - base) for low, high in wanted]
            for place, value in _standing(self._data, moved):
                segment = self._elf.segment(place)
                if segment is None:
                    continue
                is_word = place % 8 == 0 and self._data[place + 4 : place + 8] == bytes(4)
                if segment.executable:
                    yield Reference(place, value + base, in_code=True, is_pointer=False)
                if base == 0 and (is_word or self._elf.machine == I386):
                    yield Reference(place, value, in_code=False, is_pointer=True)

    def _pointers(self, wanted: list[Range]) -> Iterator[Reference]:
        """The places that the loader makes pointers of, and unknown work of a linker."""
        if self._elf.relocatable:
            for place, kind, target in _relocations(self._data, self._elf):
                segment = self._elf.segment(place)
                if segment is None or not within(target, wanted):
                    continue
                if kind in _ABSOLUTE.get(self._elf.machine, ()):
                    in_code = segment.executable
                    yield Reference(place, target, in_code=in_code, is_pointer=not in_code)
                elif not self._is_known(kind):
                    yield Reference(place, target, in_code=False, is_pointer=False)
            return
        first, last = wanted[0][0], wanted[-1][1]
        for start, address in self._distances:
            for place, target in self._targets(start, address):
                if first <= target < last and within(target, wanted):
                    yield Reference(place, target, in_code=False, is_pointer=True)
        for table in self._elf.sections:
            if table.type != _RELA or not table.loaded:
                continue
            entries = self._data[table.offset : table.offset + table.size]
            for offset, info, addend in _ENTRY.iter_unpack(entries[: len(entries) // 24 * 24]):
                if info & 0xFFFFFFFF == _DYNAMIC.get(self._elf.machine) and within(addend, wanted):
                    pointer_at = self._elf.offset(offset)
                    if pointer_at is not None:
                        yield Reference(pointer_at, addend, in_code=False, is_pointer=True)

    def _is_known(self, kind: int) -> bool:
        machine = self._elf.machine
        return (
            kind in _RELATIVE.get(machine, ())
            or kind in _ABSOLUTE.get(machine, ())
            or kind in _TABLE.get(machine, ())
            or (machine == AARCH64 and (kind in _PAGES or kind in _PARTS))
        )

    def _targets(self, start: int, address: int) -> Iterator[tuple[int, int]]:
        """The places of a table's entries and where they lead, up to an entry that leads nowhere.

        This loop is the dearest of a large program, so the segment of the last target is kept.
        """
        low = high = 0
        for block in range(start, min(start + 4 * _ENTRIES, len(self._data) - 3), _BLOCK):
            entries = min(_BLOCK, len(self._data) - block) // 4
            for at, entry in enumerate(struct.unpack_from(f"<{entries}i", self._data, block)):
                target = address + entry
                if not low <= target < high:
                    segment = self._elf.segment_at(target)
                    if segment is None:
                        return
                    low, high = segment.address, segment.address + segment.size
                yield block + 4 * at, target

    @cached_property
    def _distances(self) -> list[tuple[int, int]]:
        """The possible tables of distances from themselves, as compilers look values up.

        Their addresses are taken in code; they are data, and at even places.

        Returns:
            The offset of each in the file, and its address.
        """
        found = set()
        for segment in self._elf.segments if self._elf.machine == X86_64 else ():
            if segment.executable:
                end = segment.offset + segment.size
                for match in _ADDRESS.finditer(self._data, segment.offset, end):
                    (distance,) = _OPERAND.unpack(match[1])
                    address = segment.address + match.end() - segment.offset + distance
                    place = self._elf.offset(address) if address % 4 == 0 else None
                    if place is not None:
                        found.add((place, address))
        return sorted(found)

    @cached_property
    def _packed(self) -> bool:
        """Whether it has pointers that only a packed table tells of."""
        return any(section.type == _RELR for section in self._elf.sections)

    @cached_property
    def tables(self) -> tuple[int, ...]:
        """Where the table of global offsets may begin: that is where a writable section does."""
        found = []
        for section in self._elf.sections:
            if section.loaded and section.flags & 1 and section.size and section.type == 1:
                address = self._elf.address(section.offset)
                if address is not None and self._is_table(section.offset):
                    found.append(address)
        return tuple(found)

    def _is_table(self, offset: int) -> bool:
        """Whether the address of the dynamic section stands there, as the table's first word."""
        size = 8 if self._elf.wide else 4
        word = int.from_bytes(self._data[offset : offset + size], "little")
        return word != 0 and any(
            section.type == 6 and self._elf.address(section.offset) == word
            for section in self._elf.sections
        )


def merged(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in ascending order, merged where they meet."""
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return merged


def within(address: int, wanted: list[Range]) -> bool:
    """Whether an address is in one of some merged ranges."""
    at = bisect_right(wanted, (address, 1 << 65)) - 1
    return at >= 0 and wanted[at][0] <= address < wanted[at][1]


def _standing(data: Image, wanted: list[Range]) -> Iterator[tuple[int, int]]:
    """Words of four bytes with a value in one of some ranges: where, and the value."""
    shift = 8
    if sum((high - low >> 8) + 1 for low, high in wanted) > _SEARCHES:
        shift = 16
    uppers = {
        upper for low, high in wanted for upper in range(low >> shift, (high - 1 >> shift) + 1)
    }
    width = 4 - shift // 8
    for upper in sorted(uppers):
        if not -(1 << 8 * width - 1) <= upper < 1 << 8 * width:
            continue
        pattern = (upper & (1 << 8 * width) - 1).to_bytes(width, "little")
        at = data.find(pattern, shift // 8)
        while at >= 0:
            place = at - shift // 8
            value = (upper << shift) + int.from_bytes(data[place:at], "little")
            if within(value, wanted):
                yield place, value
            at = data.find(pattern, at + 1)
