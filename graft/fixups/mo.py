"""Compiled messages of gettext: sorted by the original texts, and hashed by them.

Source: the gettext manual, "The Format of GNU MO Files".
"""

from __future__ import annotations

import struct
from typing import Final

from graft.fixups.api import Fixup, Inside, LeftAloneError

_MAGIC: Final = 0x950412DE
_HASH_BITS: Final = 32


class Mo(Fixup):
    """Rewritten as it stands; then its texts are sorted, and its hash table is made anew."""

    name = "mo"
    opens = False
    magics = tuple((0, _MAGIC.to_bytes(4, order)) for order in ("little", "big"))

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The catalogue, with its tables made anew."""
        del name
        new = inside.plain(data)
        if new is data:
            return data
        order = "<" if data[0] == _MAGIC & 255 else ">"
        try:
            old_texts = _Catalogue(data, order).texts
            made = _Catalogue(new, order)
        except (struct.error, IndexError) as error:
            raise LeftAloneError("its tables are not in the file") from error
        if made.texts == old_texts:
            return new
        if old_texts != sorted(old_texts) or made.revision:
            raise LeftAloneError("its texts are hashed in a way that is not known")
        return made.sorted()


class _Catalogue:
    """The tables of one file."""

    def __init__(self, data: bytes, order: str) -> None:
        self._data, self._order = data, order
        head = struct.unpack_from(f"{order}7I", data)
        _, self.revision, count, self._originals, self._translations, size, self._hashes = head
        self._hash_size = size
        pairs = f"{order}{2 * count}I"
        originals = struct.unpack_from(pairs, data, self._originals)
        translations = struct.unpack_from(pairs, data, self._translations)
        self._entries = [
            (originals[at : at + 2], translations[at : at + 2]) for at in range(0, 2 * count, 2)
        ]
        if size:
            struct.unpack_from(f"{order}{size}I", data, self._hashes)
        self.texts = [self._text(original) for original, _ in self._entries]

    def _text(self, entry: tuple[int, ...]) -> bytes:
        length, at = entry
        text = self._data[at : at + length]
        if len(text) != length:
            raise IndexError
        return text

    def sorted(self) -> bytes:
        """The file with its entries in order, and its hash table."""
        new = bytearray(self._data)
        entries = sorted(self._entries, key=lambda entry: self._text(entry[0]))
        for table, side in ((self._originals, 0), (self._translations, 1)):
            numbers = [number for entry in entries for number in entry[side]]
            struct.pack_into(f"{self._order}{len(numbers)}I", new, table, *numbers)
        if self._hash_size:
            texts = [self._text(original) for original, _ in entries]
            slots = hash_table(texts, self._hash_size)
            struct.pack_into(f"{self._order}{len(slots)}I", new, self._hashes, *slots)
        return bytes(new)


def hash_table(texts: list[bytes], size: int) -> list[int]:
    """The slots of a hash table: each empty, or the number of a text counted from one.

    Raises:
        LeftAloneError: the table is too small.
    """
    if size <= max(2, len(texts)):
        raise LeftAloneError("its hash table is too small")
    slots = [0] * size
    for number, text in enumerate(texts, 1):
        value = _hashed(text.partition(b"\0")[0])
        slot, step = value % size, 1 + value % (size - 2)
        while slots[slot]:
            slot = (slot + step) % size
        slots[slot] = number
    return slots


def _hashed(text: bytes) -> int:
    """The hash of P. J. Weinberger, as gettext has it."""
    value = 0
    for byte in text:
        value = (value << 4) + byte
        high = value & 0xF << _HASH_BITS - 4
        if high:
            value ^= high >> _HASH_BITS - 8
            value ^= high
    return value
