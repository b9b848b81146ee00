"""Hashes that a compiler has made of strings: the strings change, and the hashes do not.

A switch over texts, or a table of them, may have the hash of a constant text as a number in the
code. The number depends on the whole text, so it is looked for: by the usual functions, where a
program has the constants of one. It is not made anew, for other code may depend on its order among
others.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from itertools import islice
from typing import Final, NamedTuple

from graft.fixups.fragments import x86
from graft.fixups.fragments.references import merged
from graft.fixups.strings import ChangedString
from graft.formats.elf.sections import AARCH64, I386, X86_64, ElfSections
from graft.formats.string_hashes import StringHash, hash_functions
from graft.kernel import HASH_LENGTH
from graft.kernel.anchors import make_anchors

_STRINGS: Final = 64
"""How many changed strings of a file are looked at."""
_CHANCE: Final = 1 << 22
"""Bytes times values: so few that one stands there by chance in one of ten thousand files."""
_NEAR_CHANCE: Final = 8
"""So many times more may be looked at, for a function of which a constant is there."""
_NEAR: Final = 1 << 14
"""Bytes of code around a function's constant in which its values are expected."""
_PARTS: Final = 1024
"""How many texts without a known end are looked for."""


class HashPlace(NamedTuple):
    """A hash of a string that stands in a program.

    Attributes:
        name: the function's.
        at: the offset of the value.
        string: the offset of the string.
    """

    name: str
    at: int
    string: int


def string_hashes(
    data: bytes, elf: ElfSections, strings: Iterable[ChangedString]
) -> Iterator[HashPlace]:
    """The hashes of changed strings in a program.

    Args:
        data: the original file.
        elf: the known facts of it.
        strings: of the file; each old.
    """
    whole: dict[bytes, int] = {}
    parts: dict[bytes, int] = {}
    for string in islice(strings, _STRINGS):
        for span in string.spans():
            if len(span) < HASH_LENGTH:
                continue  # no path: the hash of a letter is a number that stands everywhere
            whole.setdefault(span, string.start)
            whole.setdefault(span + b"\0", string.start)
        if len(parts) < _PARTS:
            parts.update((prefix, string.start) for prefix in string.prefixes())
    if not whole:
        return
    search = _Search(data, elf)
    functions = [each for each in hash_functions() if search.has(each)]
    wide = {
        each.of(text): (each, at)
        for each in functions
        if each.size == 8
        for text, at in (parts | whole).items()
    }
    yield from search.wide(wide)
    for each in functions:
        if each.size == 4:
            values = {each.of(text): (each, at) for text, at in whole.items()}
            yield from search.narrow(values, each.marks)


Span = tuple[int, int]
_Values = dict[int, tuple[StringHash, int]]


class _Search:
    """The search for numbers in one program."""

    def __init__(self, data: bytes, elf: ElfSections) -> None:
        self._data, self._elf = data, elf
        self._is_x86 = elf.machine in {X86_64, I386}
        self._order = "little" if elf.order == "<" else "big"

    def has(self, function: StringHash) -> bool:
        """Whether a program may have a function."""
        if not function.marks or not self._is_x86:
            return True  # other machines' instructions hold no whole number
        return any(
            self._data.find(self._bytes(mark, function.size if mark >> 32 else 4)) >= 0
            for mark in function.marks
        )

    def _bytes(self, value: int, size: int) -> bytes:
        return value.to_bytes(size, self._order)  # type: ignore[arg-type]

    def wide(self, values: _Values) -> Iterator[HashPlace]:
        """Numbers of 64 bits, wherever they are: a chance is excluded."""
        if not values:
            return
        known = list(values.items())
        anchors = make_anchors(self._bytes(value, 8) for value, _ in known)
        for at, index in anchors.find(self._data):
            function, string = known[index][1]
            yield HashPlace(function.name, at, string)

    def narrow(self, values: _Values, marks: tuple[int, ...]) -> Iterator[HashPlace]:
        """Numbers of 32 bits: operands of code and words of data.

        They are looked for close to the function's constants, or in so few bytes that a chance
        is excluded.
        """
        parts = self._code
        if marks and self._is_x86:
            near = [span for mark in marks for span in self._near(mark)]
            parts = merged(near) or parts
        room = _CHANCE // len(values)
        if sum(end - start for start, end in parts) > (room if not marks else _NEAR_CHANCE * room):
            parts = []
        if marks and sum(end - start for start, end in self._rest) <= room:
            parts = [*parts, *self._rest]
        for value, (function, string) in values.items():
            for start, end in parts:
                for at in self._places(value, start, end):
                    yield HashPlace(function.name, at, string)

    @cached_property
    def _code(self) -> list[Span]:
        return [
            (segment.offset, segment.offset + segment.size)
            for segment in self._elf.segments
            if segment.executable
        ]

    @cached_property
    def _rest(self) -> list[Span]:
        return [
            (segment.offset, segment.offset + segment.size)
            for segment in self._elf.segments
            if not segment.executable
        ]

    def _near(self, mark: int) -> Iterator[Span]:
        """The code around each place of a constant."""
        word = self._bytes(mark, 4)
        for start, end in self._code:
            at = self._data.find(word, start, end)
            while at >= 0:
                yield max(start, at - _NEAR), min(end, at + _NEAR)
                at = self._data.find(word, at + 1, end)

    def _places(self, value: int, start: int, end: int) -> Iterator[int]:
        pattern = self._bytes(value, 4)
        is_code = (start, end) not in self._rest
        if is_code and self._elf.machine == AARCH64:
            yield from self._moves(value, start, end)
        at = self._data.find(pattern, start, end)
        while at >= 0:
            if self._is_number(at) if is_code else at % 4 == 0:
                yield at
            at = self._data.find(pattern, at + 1, end)

    def _is_number(self, at: int) -> bool:
        start = max(0, at - 8)
        return self._is_x86 and x86.immediate_size(self._data[start : at + 4], at - start) == 4

    def _moves(self, value: int, start: int, end: int) -> Iterator[int]:
        """A `movk` of the upper half on 64-bit ARM, close behind a `movz` of the lower."""
        upper = (0x72A00000 | value >> 16 << 5) >> 8
        at = self._data.find(upper.to_bytes(3, "little"), start + 1, end)
        while at >= 0:
            place = at - 1
            word = int.from_bytes(self._data[place : place + 4], "little")
            lower = 0x52800000 | (value & 0xFFFF) << 5 | word & 31
            near = self._data[max(start, place - 32) : place]
            if (
                (place - start) % 4 == 0
                and word & ~31 == 0x72A00000 | value >> 16 << 5
                and lower.to_bytes(4, "little") in near
            ):
                yield place
            at = self._data.find(upper.to_bytes(3, "little"), at + 1, end)
