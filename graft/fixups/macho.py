"""Mach-O files (of macOS), whose code signature holds the hash of each of their pages.

Source: mach-o/loader.h and mach-o/fat.h of Apple's cctools, kern/cs_blobs.h of xnu. A signature
that was made ad hoc has no key behind it: hashes are all there is to it, and anybody may make them.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from graft.fixups.api import Fixup, Inside, LeftAloneError

_THIN = (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe")  # 64 and 32 bits; nothing big-endian is left
_FAT = b"\xca\xfe\xba\xbe"  # of Java's classes too, which have a version where its count is
_MOST_SLICES = 32
_CODE_SIGNATURE = 0x1D
_SUPER_BLOB, _DIRECTORY, _CMS = 0xFADE0CC0, 0xFADE0C02, 0xFADE0B01
_HASHES: Final = {1: ("sha1", 20), 2: ("sha256", 32), 3: ("sha256", 20), 4: ("sha384", 48)}


class _Blob(NamedTuple):
    slot: int
    start: int  # in the file
    magic: int
    length: int


class Macho(Fixup):
    """The hashes of pages, and of what else is in the signature."""

    name = "macho"
    opens = False
    magics = tuple((0, magic) for magic in (*_THIN, _FAT))

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the magic, and in a file of several architectures by how many there are."""
        if not super().recognises(head, name):
            return False
        return not head.startswith(_FAT) or 0 < int.from_bytes(head[4:8], "big") < _MOST_SLICES

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, signed again where it was signed ad hoc."""
        del name
        new = inside.plain(data)
        if new is data:
            return data
        made = bytearray(new)
        for start, end in _slices(data):
            signature = _signature(data, start, end)
            if signature is not None:
                _sign(data, made, start, _blobs(data, *signature))
        return bytes(made)


def _slices(data: bytes) -> list[tuple[int, int]]:
    if not data.startswith(_FAT):
        return [(0, len(data))]
    (count,) = struct.unpack_from(">I", data, 4)
    slices = []
    for index in range(count):
        start, length = struct.unpack_from(">II", data, 8 + 20 * index + 8)
        if start + length > len(data):
            raise LeftAloneError("it is cut")
        slices.append((start, start + length))
    return slices


def _signature(data: bytes, start: int, end: int) -> tuple[int, int] | None:
    """Where the signature of a slice begins and ends."""
    if data[start : start + 4] not in _THIN:
        raise LeftAloneError("it is for a machine that is not known")
    (count,) = struct.unpack_from("<I", data, start + 16)
    at = start + (32 if data.startswith(_THIN[0], start) else 28)
    for _ in range(count):
        command, size = struct.unpack_from("<II", data, at)
        if command == _CODE_SIGNATURE:
            offset, length = struct.unpack_from("<II", data, at + 8)
            if start + offset + length > end:
                raise LeftAloneError("it is cut")
            return start + offset, start + offset + length
        at += max(size, 8)
    return None


def _blobs(data: bytes, start: int, end: int) -> list[_Blob]:
    magic, length, count = struct.unpack_from(">III", data, start)
    if magic != _SUPER_BLOB or start + length > end:
        raise LeftAloneError("its signature is damaged")
    blobs = []
    for index in range(count):
        slot, offset = struct.unpack_from(">II", data, start + 12 + 8 * index)
        magic, length = struct.unpack_from(">II", data, start + offset)
        if start + offset + length > end:
            raise LeftAloneError("its signature is damaged")
        blobs.append(_Blob(slot, start + offset, magic, length))
    return blobs


def _sign(old: bytes, new: bytearray, start: int, blobs: list[_Blob]) -> None:
    """Puts the new hashes into the code directories of one slice."""
    if any(blob.magic == _CMS and blob.length > 8 for blob in blobs):
        raise LeftAloneError("it is signed with a key")
    directories = [blob for blob in blobs if blob.magic == _DIRECTORY]
    if not directories:
        raise LeftAloneError("its signature is damaged")
    for directory in directories:
        # Names in the directory may have changed with the rest; its numbers have not.
        kind = old[directory.start + 37]
        algorithm, size = _HASHES.get(kind, ("", 0))
        if size != old[directory.start + 36] or not size:
            raise LeftAloneError("its pages are hashed in a way that is not known")
        for slot, begin, end in _hashed(old, start, directory, blobs):
            if old[begin:end] == new[begin:end]:
                continue
            if old[slot : slot + size] != _digest(algorithm, size, old[begin:end]):
                raise LeftAloneError("its signature was wrong already")
            new[slot : slot + size] = _digest(algorithm, size, bytes(new[begin:end]))


def _hashed(
    data: bytes, start: int, directory: _Blob, blobs: list[_Blob]
) -> Iterator[tuple[int, int, int]]:
    """Where each hash of a directory is, and from where to where it is of."""
    (version,) = struct.unpack_from(">I", data, directory.start + 8)
    hashes, _, special, count, limit = struct.unpack_from(">IIIII", data, directory.start + 16)
    size, page_bits = data[directory.start + 36], data[directory.start + 39]
    if version >= 0x20300:
        (wide,) = struct.unpack_from(">Q", data, directory.start + 56)
        limit = wide or limit
    page = 1 << page_bits if page_bits else limit
    first = directory.start + hashes
    if (
        hashes + count * size > directory.length
        or special * size > hashes
        or count != -(-limit // max(page, 1))
        or start + limit > directory.start
    ):
        raise LeftAloneError("its signature is damaged")
    for index in range(count):
        begin = start + index * page
        yield first + index * size, begin, min(begin + page, start + limit)
    for blob in blobs:
        if 0 < blob.slot <= special:
            yield first - blob.slot * size, blob.start, blob.start + blob.length


def _digest(algorithm: str, size: int, data: bytes) -> bytes:
    return hashlib.new(algorithm, data).digest()[:size]
