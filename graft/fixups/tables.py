"""Tables that are found by the hashes of their keys: GVDB (of GLib) and cdb.

A value may change in its place; a key that changes would not be found any more. Sources:
gvdb-format.h of GLib; "A structure for constant databases" of cdb.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.deflated import inflated

_ITEM = struct.Struct("<IIIHcxII")
_RESOURCE = b"\0(uuay)"
_COMPRESSED = 1
_CDB_HEADER = 2048
_KEY = "a key would change, by whose hash it is found"


class Gvdb(Fixup):
    """Settings' schemas, dconf, and resources, of which some are compressed."""

    name = "gvdb"
    opens = False
    packs = True
    magics = ((0, b"GVariant"), (0, b"raVGtnai"))

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The table with its values changed."""
        del name
        items = list(_items(data)) if data.startswith(b"GVariant") else None
        new = inside.plain(data)
        if items is None:
            if new is not data:
                raise LeftAloneError("it is for machines of another byte order")
            return data
        if any(data[start:end] != new[start:end] for start, end, _ in items):
            raise LeftAloneError(_KEY)
        packed = [
            (data[start:end], _resource(value, inside))
            for start, end, value in items
            if _is_compressed(value)
        ]
        changed = inside.members(packed)
        if any(after is not before for after, (_, before) in zip(changed, packed, strict=True)):
            raise LeftAloneError("there is a reference in a compressed resource")
        return new


class Cdb(Fixup):
    """Constant databases."""

    name = "cdb"
    opens = False
    suffixes = (b".cdb",)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The database with its data changed."""
        del name
        new = inside.plain(data)
        if new is data:
            return data
        tables = min(start for start, _ in struct.iter_unpack("<II", data[:_CDB_HEADER]))
        at = _CDB_HEADER
        while at < tables:
            key, value = struct.unpack_from("<II", data, at)
            end = at + 8 + key
            if data[at + 8 : end] != new[at + 8 : end]:
                raise LeftAloneError(_KEY)
            at = end + value
        return new


def _items(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Where each key begins and ends, in all tables in each other; and its value."""
    waiting = [struct.unpack_from("<II", data, 16)]
    seen = set(waiting)
    while waiting:
        start, end = waiting.pop()
        if end > len(data):
            raise LeftAloneError("it is cut")
        if start >= end:
            continue
        bloom, buckets = struct.unpack_from("<II", data, start)
        first = start + 8 + 4 * ((bloom & 0x7FFFFFF) + buckets)
        for at in range(first, end - _ITEM.size + 1, _ITEM.size):
            _, _, key, key_length, kind, begin, stop = _ITEM.unpack_from(data, at)
            table = begin, stop
            if kind == b"H" and table not in seen:
                seen.add(table)
                waiting.append(table)
            yield key, key + key_length, data[begin:stop] if kind == b"v" else b""


def _is_compressed(value: bytes) -> bool:
    return value.endswith(_RESOURCE) and bool(value[4] & _COMPRESSED)


def _resource(value: bytes, inside: Inside) -> bytes:
    """The parts of a compressed resource: length, flags and a zlib stream."""
    contents, end = inflated(value, 10, inside)
    if value[end : end + 4] != struct.pack(">I", zlib.adler32(contents)):
        raise LeftAloneError("the checksum of a resource is wrong")
    return contents
