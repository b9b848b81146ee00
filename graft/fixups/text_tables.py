"""Tables of texts whose places in it a generator has chosen by their characters.

In gperf's tables a text's place is the sum of numbers of some of its characters. A search by halves
needs a table in order. A text that changes has another place in both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from graft.fixups.strings import ChangedString
from graft.formats.elf.sections import ElfSections

_STRIDES: Final = (8, 16, 24, 32, 40, 48, 56, 64)
"""Bytes of an entry of a table; the text's address is in front."""
_STRINGS: Final = 64
"""How many changed strings of a file are looked at."""
_ENTRIES: Final = 1024
"""How many entries of a table are looked at, on each side."""
_LONGEST: Final = 4096
_LARGE: Final = 4 << 20
"""Bytes of constants in which tables of more than 255 texts are looked for."""
_LEAST: Final = 6
"""So many texts are seldom in order by chance; tables of fewer are not looked at."""
_CONTROLS: Final = 32
"""Characters before the first one of texts: gperf's table has one number for all of them."""
_CHARACTERS: Final = 128
_ALIGNED: Final = 16
"""Bytes to whose multiples compilers move arrays of numbers."""
_RELA: Final = 4
_ENTRY: Final = struct.Struct("<QQq")
_RELATIVE: Final = frozenset({8, 1027})  # x86-64, AArch64


class TextTable(NamedTuple):
    """A table of which a changed text may be at the wrong place.

    Attributes:
        kind: the reason for its order.
        at: the offset of the text's entry.
        string: the offset of the text.
    """

    kind: str
    at: int
    string: int


def text_tables(
    data: bytes, new: bytes, elf: ElfSections, strings: Iterable[ChangedString]
) -> Iterator[TextTable]:
    """The tables of a program in which a changed string is at a place of its own.

    Args:
        data: the original file.
        new: the file after its change, of equal length.
        elf: the known facts of it.
        strings: the changed ones.
    """
    if not elf.wide or elf.order != "<" or elf.relocatable:
        return
    search = _Search(data, new, elf)
    for string in islice(strings, _STRINGS):
        # Other bytes than a NUL may be in front of it.
        for start in {string.start, string.start + string.path}:
            for slot in search.slots(start):
                kind = search.kind(slot, start)
                if kind:
                    yield TextTable(kind, slot, start)


class _Search:
    """The search for tables in one program."""

    def __init__(self, data: bytes, new: bytes, elf: ElfSections) -> None:
        self._data, self._new, self._elf = data, new, elf
        self._numbers: dict[int, list[set[int]]] = {}
        self._constants = [
            (segment.offset, segment.offset + segment.size)
            for segment in elf.segments
            if not segment.executable
        ]

    def slots(self, offset: int) -> Iterator[int]:
        """The offsets of the pointers to a text."""
        address = self._elf.address(offset)
        if address is None:
            return
        word = address.to_bytes(8, "little")
        for table in self._elf.sections:
            if table.type != _RELA or not table.loaded:
                continue
            for at in _found(self._data, word, table.offset, table.offset + table.size):
                if (at - table.offset) % _ENTRY.size == 16:
                    place, info, _ = _ENTRY.unpack_from(self._data, at - 16)
                    slot = self._elf.offset(place) if info in _RELATIVE else None
                    if slot is not None:
                        yield slot
        relocations = [
            (table.offset, table.offset + table.size)
            for table in self._elf.sections
            if table.type == _RELA
        ]
        for start, end in self._constants:
            for at in _found(self._data, word, start, end):
                if at % 8 == 0 and not any(first <= at < last for first, last in relocations):
                    yield at

    def kind(self, slot: int, start: int) -> str:
        """The reason for a text's place in its table; empty: the reason is not known."""
        for stride in _STRIDES:
            before = list(self._texts(slot, -stride))[::-1]
            places = [*before, start, *self._texts(slot, stride)]
            if len(places) < _LEAST:
                continue
            texts = [self._text(self._data, place) for place in places]
            if self._is_hashed(texts, len(before)):
                return "by numbers of its characters, as gperf makes them"
            if self._was_ordered(texts, places, len(before)):
                return "in the order of the texts"
        return ""

    def _texts(self, slot: int, stride: int) -> Iterator[int]:
        """The offsets of the texts of the next entries, up to a place without a pointer."""
        for number in range(1, _ENTRIES):
            text = self._target(slot + number * stride)
            if text is None:
                return
            yield text

    def _target(self, slot: int) -> int | None:
        """The offset of the text to which a pointer leads; None: the place holds no pointer."""
        if not 0 <= slot <= len(self._data) - 8:
            return None
        address = self._relocated.get(slot)
        if address is None:
            address = int.from_bytes(self._data[slot : slot + 8], "little")
            if address == 0:
                return None
        at = self._elf.offset(address)
        if at is None:
            return None
        text = self._text(self._data, at)
        return at if len(text) < _LONGEST and text.isascii() else None

    @cached_property
    def _relocated(self) -> dict[int, int]:
        """The addresses that a loader puts into pointers, by the offsets of the pointers."""
        found = {}
        for table in self._elf.sections:
            if table.type != _RELA or not table.loaded:
                continue
            entries = self._data[table.offset : table.offset + table.size]
            for place, info, addend in _ENTRY.iter_unpack(entries[: len(entries) // 24 * 24]):
                if info in _RELATIVE:
                    slot = self._elf.offset(place)
                    if slot is not None:
                        found[slot] = addend
        return found

    @staticmethod
    def _text(data: bytes, at: int) -> bytes:
        end = data.find(b"\0", at, at + _LONGEST)
        return data[at : end if end >= 0 else at + _LONGEST]

    def _is_hashed(self, texts: list[bytes], at: int) -> bool:
        """Whether there are gperf's numbers for a table of texts.

        The table has as many places as its numbers say, and a text at the last one. Its texts have
        all the characters that have a number of their own.
        """
        for size in range(2, min(len(texts), _ENTRIES) + 1):
            for used in self._used(size):
                for first in range(max(0, at - size + 1), min(at, len(texts) - size) + 1):
                    table = texts[first : first + size]
                    if table[-1] and used <= set(b"".join(table).lower()):
                        return True
        return False

    def _used(self, size: int) -> list[set[int]]:
        """The characters, in small letters, that have a number of their own in each table of
        gperf's numbers for so many texts.

        All other characters have the number of texts.
        """
        if size not in self._numbers:
            width = 1 if size <= 0xFF else 2
            run = size.to_bytes(width, "little") * _CONTROLS
            self._numbers[size] = [
                used
                for start, end in self._constants
                if width == 1 or end - start <= _LARGE
                for at in _found(self._data, run, start, end, len(run))
                for used in self._used_in(at, width, size)
            ]
        return self._numbers[size]

    def _used_in(self, at: int, width: int, size: int) -> Iterator[set[int]]:
        """The same of each table that may begin at an offset, or close behind it."""
        numbers = self._data[at : at + 2 * _CHARACTERS * width]
        values = [
            int.from_bytes(numbers[i : i + width], "little")
            for i in range(0, len(numbers) - width + 1, width)
        ]
        run = next((i for i, value in enumerate(values) if value != size), len(values))
        for start in range(max(0, run - _CHARACTERS), run - _CONTROLS):
            table = values[start : start + _CHARACTERS]
            aligned = (at + start * width) % _ALIGNED == 0
            if aligned and len(table) == _CHARACTERS and max(table) == size:
                used = bytes(char for char in range(_CHARACTERS) if table[char] < size)
                if len(used) > 1:
                    yield set(used.lower())

    def _was_ordered(self, old: list[bytes], places: list[int], at: int) -> bool:
        """Whether a text was in order among its neighbours, and is not any more."""
        first, last = at, at
        while first and old[first - 1] < old[first]:
            first -= 1
        while last + 1 < len(old) and old[last] < old[last + 1]:
            last += 1
        if last - first + 1 < _LEAST:
            return False
        new = [self._text(self._new, place) for place in places[first : last + 1]]
        return new != sorted(new)


def _found(data: bytes, word: bytes, start: int, end: int, step: int = 1) -> Iterator[int]:
    at = data.find(word, start, end)
    while at >= 0:
        yield at
        at = data.find(word, at + step, end)
