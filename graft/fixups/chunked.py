"""Formats of chunks that have a CRC each: rewritten as they stand, and the CRCs made anew.

Sources: the PNG specification (W3C), section 5; RFC 3533, section 6, for Ogg.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from functools import cache
from typing import Final

from graft.fixups.api import Fixup, Inside, LeftAloneError

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_OGG: Final = b"OggS\0"
_OGG_HEAD: Final = 27  # bytes of a page before its segments' sizes
_OGG_SUM: Final = 22


class _Chunked(Fixup):
    """A format of chunks."""

    opens = False

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, with the CRCs of its changed chunks."""
        del name
        new = inside.plain(data)
        if new is data:
            return data
        made = bytearray(new)
        for start, end, at in self._chunks(data):
            if new[start:end] == data[start:end]:
                continue
            if self._sum(data[start:end], at - start) != data[at : at + 4]:
                raise LeftAloneError(f"the CRC of its chunk at {start} does not fit")
            made[at : at + 4] = self._sum(new[start:end], at - start)
        return bytes(made)

    @staticmethod
    def _chunks(data: bytes) -> Iterator[tuple[int, int, int]]:
        """Begin, end and place of the CRC of each chunk; other bytes may not follow.

        Raises:
            LeftAloneError: a chunk does not end in the file.
        """
        raise NotImplementedError

    @staticmethod
    def _sum(chunk: bytes, at: int) -> bytes:
        """The right CRC of a chunk in which it stands at a place."""
        raise NotImplementedError


class Png(_Chunked):
    """Pictures, whose chunks may hold a text."""

    name = "png"
    magics = ((0, _PNG),)

    @staticmethod
    def _chunks(data: bytes) -> Iterator[tuple[int, int, int]]:
        start = len(_PNG)
        while start < len(data):
            size = int.from_bytes(data[start : start + 4])
            end = start + 12 + size
            if end > len(data):
                if data.rfind(b"IEND", 0, start) == start - 8:
                    return  # bytes of others follow
                raise LeftAloneError("its last chunk does not end in the file")
            yield start, end, end - 4
            start = end

    @staticmethod
    def _sum(chunk: bytes, at: int) -> bytes:
        return zlib.crc32(chunk[4:at]).to_bytes(4)


class Ogg(_Chunked):
    """Sound and video in pages, with comments."""

    name = "ogg"
    magics = ((0, _OGG),)

    @staticmethod
    def _chunks(data: bytes) -> Iterator[tuple[int, int, int]]:
        start = 0
        while start < len(data):
            head = start + _OGG_HEAD
            if not data.startswith(_OGG, start) or head > len(data):
                raise LeftAloneError(f"no page begins at {start}")
            sizes = data[head : head + data[head - 1]]
            end = head + len(sizes) + sum(sizes)
            if end > len(data):
                raise LeftAloneError("its last page does not end in the file")
            yield start, end, start + _OGG_SUM
            start = end

    @staticmethod
    def _sum(chunk: bytes, at: int) -> bytes:
        table, register = _ogg_table(), 0
        for byte in chunk[:at] + bytes(4) + chunk[at + 4 :]:
            register = register << 8 & 0xFFFFFFFF ^ table[register >> 24 ^ byte]
        return register.to_bytes(4, "little")


@cache
def _ogg_table() -> tuple[int, ...]:
    """The steps of the CRC that is not reflected, and neither begun with ones nor inverted."""
    table = []
    for byte in range(256):
        register = byte << 24
        for _ in range(8):
            register = register << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if register >> 31 else 0)
        table.append(register)
    return tuple(table)


CHUNKED: Final = (Png(), Ogg())
"""In their order in the registry."""
