"""ELF files that name the file their debugging information was detached into, with its CRC-32.

Source: "Debugging Information in Separate Files" in GDB's manual.
"""

from __future__ import annotations

import struct
import zlib

from graft.fixups.api import Fixup, Inside

_SECTION = b".gnu_debuglink"


class Debuglink(Fixup):
    """The CRC of the detached file, wherever it is, if it was right before."""

    name = "debuglink"
    opens = False
    everywhere = False  # nearly every program has such a link, and next to none its file
    magics = ((0, b"\x7fELF"),)
    suffixes = (b".debug",)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file with the CRC of what the detached one is now."""
        del name
        new = inside.plain(data)
        found = _link(data)
        if found is None:
            return new
        at, file = found
        crc = data[at : at + 4]
        order = "little" if data[5] == 1 else "big"
        for old_detached, new_detached in inside.detached(file):
            if zlib.crc32(old_detached).to_bytes(4, order) == crc:  # type: ignore[arg-type]
                new_crc = zlib.crc32(new_detached).to_bytes(4, order)  # type: ignore[arg-type]
                return new if new_crc == crc else new[:at] + new_crc + new[at + 4 :]
        return new


def _link(data: bytes) -> tuple[int, bytes] | None:
    """Where the CRC is, and the name of the detached file."""
    if data.find(_SECTION) < 0:
        return None
    order = "<" if data[5] == 1 else ">"
    if data[4] == 2:  # ELFCLASS64
        (table,) = struct.unpack_from(order + "Q", data, 40)
        size, count, names = struct.unpack_from(order + "HHH", data, 58)
        fields, offset_at, length_at = "Q", 24, 32
    else:
        (table,) = struct.unpack_from(order + "I", data, 32)
        size, count, names = struct.unpack_from(order + "HHH", data, 46)
        fields, offset_at, length_at = "I", 16, 20
    if not table or names >= count:
        return None

    def section(index: int) -> tuple[int, int, int]:
        at = table + index * size
        (name,) = struct.unpack_from(order + "I", data, at)
        (offset,) = struct.unpack_from(order + fields, data, at + offset_at)
        (length,) = struct.unpack_from(order + fields, data, at + length_at)
        return name, offset, length

    strings = section(names)[1]
    for index in range(count):
        name, offset, length = section(index)
        if data.startswith(_SECTION + b"\0", strings + name) and length >= 8:
            text = data[offset : offset + length - 4].split(b"\0")[0]
            return offset + length - 4, text
    return None
