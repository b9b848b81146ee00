"""Compound files (OLE): documents of old offices, galleries, installers, thumbnails.

The streams in one lie in sectors anywhere in the file, so a path in it may be cut in two. Source:
[MS-CFB], Microsoft's specification of the format.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from graft.fixups.api import Fixup, Inside, LeftAloneError

_ENTRY: Final = 128
_LAST_SECTOR: Final = 0xFFFFFFFA
_ROOT, _STREAM = 5, 2
_SIGNATURES: Final = (
    "\5DigitalSignature",
    "\5MsiDigitalSignatureEx",
    "_signatures",
    "_xmlsignatures",
)


class _Stream(NamedTuple):
    """A stream: its name, its size, and the pieces of the file that it is made of."""

    name: str
    pieces: list[slice]
    data: bytes


class CompoundFile(Fixup):
    """Streams rewritten in their sectors; names of streams as they stand."""

    name = "compound-file"
    magics = ((0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, its streams changed in their places."""
        del name
        streams = _Sectors(data).streams()
        old = [(stream.name.encode(), stream.data) for stream in streams]
        new = inside.members(old)
        if all(after is before for after, (_, before) in zip(new, old, strict=True)):
            return data
        if any(stream.name in _SIGNATURES for stream in streams):
            raise LeftAloneError("it is signed")
        made = bytearray(data)
        for stream, after in zip(streams, new, strict=True):
            if len(after) != len(stream.data):
                raise LeftAloneError(f"the stream '{stream.name}' would change its length")
            at = 0
            for piece in stream.pieces:
                size = min(piece.stop - piece.start, len(after) - at)
                made[piece.start : piece.start + size] = after[at : at + size]
                at += size
        return bytes(made)


class _Sectors:
    """The chains of sectors of one file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        major, shift, mini_shift = struct.unpack_from("<H2xHH", data, 26)
        self._wide = major > 3
        self._size, self._mini_size = 1 << shift, 1 << mini_shift
        self._directory, self._cutoff, first, _, more, count = struct.unpack_from(
            "<I4xIIIII", data, 48
        )
        tables = list(struct.unpack_from("<109I", data, 76))
        per_sector = self._size // 4
        while count and more < _LAST_SECTOR:
            *further, more = struct.unpack(f"<{per_sector}I", self._sector(more))
            tables += further
            count -= 1
        self._next = [
            number
            for table in tables
            if table < _LAST_SECTOR
            for number in struct.unpack(f"<{per_sector}I", self._sector(table))
        ]
        mini = b"".join(data[piece] for piece in self._chain(first))
        self._next_mini = struct.unpack(f"<{len(mini) // 4}I", mini[: len(mini) // 4 * 4])

    def streams(self) -> list[_Stream]:
        """All streams, in the order of the directory."""
        data = self._data
        directory = b"".join(data[piece] for piece in self._chain(self._directory))
        streams: list[_Stream] = []
        small: list[slice] = []
        for at in range(0, len(directory) - _ENTRY + 1, _ENTRY):
            entry = directory[at : at + _ENTRY]
            length, kind = struct.unpack_from("<HB", entry, 64)
            first, size = struct.unpack_from("<IQ", entry, 116)
            size = size if self._wide else size & 0xFFFFFFFF
            if kind == _ROOT:
                small = self._chain(first) if size else []
            if kind != _STREAM or not size:
                continue
            pieces = self._mini_chain(first, small) if size < self._cutoff else self._chain(first)
            contents = b"".join(data[piece] for piece in pieces)[:size]
            if len(contents) < size:
                raise LeftAloneError("a stream in it is cut")
            name = entry[: max(length - 2, 0)].decode("utf-16-le", "replace")
            streams.append(_Stream(name, pieces, contents))
        return streams

    def _chain(self, first: int) -> list[slice]:
        pieces: list[slice] = []
        while first < _LAST_SECTOR:
            if len(pieces) > len(self._next):
                raise LeftAloneError("its sectors form a circle")
            start = (first + 1) * self._size
            pieces.append(slice(start, start + self._size))
            first = self._next[first]
        return pieces

    def _mini_chain(self, first: int, small: list[slice]) -> list[slice]:
        pieces: list[slice] = []
        while first < _LAST_SECTOR:
            if len(pieces) > len(self._next_mini):
                raise LeftAloneError("its sectors form a circle")
            sector, within = divmod(first * self._mini_size, self._size)
            start = small[sector].start + within
            pieces.append(slice(start, start + self._mini_size))
            first = self._next_mini[first]
        return pieces

    def _sector(self, number: int) -> bytes:
        start = (number + 1) * self._size
        sector = self._data[start : start + self._size]
        if len(sector) < self._size:
            raise LeftAloneError("it is cut")
        return sector
