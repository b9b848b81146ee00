"""Debugging information apart from the order of its strings.

A compiler writes them in the order of a table of their hashes, a hash part among them changes its
place, and every number that leads to one behind it. What readelf makes of them is compared instead.
"""

from __future__ import annotations

import re
import struct
import subprocess
import tempfile

_DEBUG = (b".debug_", b".rela.debug_")
_STRINGS = b".debug_str"
_SHOWN = "--debug-dump=info,abbrev,aranges,macro,rawline,Ranges,loc,frames"
_PLACE = re.compile(rb"offset: 0x[0-9a-f]+")


def separated(data: bytes) -> tuple[bytes, bytes, bytes] | None:
    """An ELF file of 64 bits without its debugging information; that; and that as it is shown.

    None if it has no table of strings.
    """
    sections = _sections(data)
    if _STRINGS not in {name for name, _, _ in sections}:
        return None
    rest, tables = bytearray(data), b""
    for name, offset, size in sections:
        if name.startswith(_DEBUG):
            tables += data[offset : offset + size]
            rest[offset : offset + size] = bytes(size)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        command = ["readelf", "-W", _SHOWN, file.name]
        shown = subprocess.run(command, capture_output=True, check=False).stdout
    return bytes(rest), tables, _PLACE.sub(b"", shown)


def _sections(data: bytes) -> list[tuple[bytes, int, int]]:
    """The names, offsets and sizes of those that are in the file and not compressed."""
    (table,) = struct.unpack_from("<Q", data, 40)
    _, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + 64 * at) for at in range(count)]
    if not headers:
        return []
    start = headers[names][4]
    found = []
    for name, kind, flags, _, offset, size in headers:
        text = data[start + name : data.index(b"\0", start + name)]
        if kind != 8 and not flags & 0x800:  # SHT_NOBITS, SHF_COMPRESSED
            found.append((text, offset, size))
    return found
