"""The file that has an ELF file's symbols, as its section .gnu_debuglink names it.

Source: "Debugging Information in Separate Files" in GDB's manual; gABI for the section headers.
"""

from __future__ import annotations

import struct
from typing import Literal, NamedTuple

from graft.formats.elf.image import MAGIC, Read

SECTION = b".gnu_debuglink"
"""Its name."""
_SHORTEST, _LONGEST = 8, 4096 + 8  # bytes of the section: a name, padded, and the sum


class DebugLink(NamedTuple):
    """What the section says.

    Attributes:
        name: of the detached file, without a directory.
        offset: of the sum, in bytes from the beginning of the ELF file.
        crc: the CRC-32 of the detached file.
        order: of the sum's bytes.
    """

    name: bytes
    offset: int
    crc: int
    order: Literal["little", "big"]


def debug_link(read: Read) -> DebugLink | None:
    """Reads the section of an ELF file, if it has one.

    Args:
        read: so many bytes of the file from an offset on; fewer at its end.

    Raises:
        struct.error: its headers lie outside of it.
    """
    head = read(0, 64)
    if not head.startswith(MAGIC):
        return None
    order = "<" if head[5] == 1 else ">"
    if head[4] == 2:  # ELFCLASS64
        (table,) = struct.unpack_from(order + "Q", head, 40)
        size, count, names = struct.unpack_from(order + "HHH", head, 58)
        fields, offset_at, length_at = "Q", 24, 32
    else:
        (table,) = struct.unpack_from(order + "I", head, 32)
        size, count, names = struct.unpack_from(order + "HHH", head, 46)
        fields, offset_at, length_at = "I", 16, 20
    if not table or names >= count:
        return None
    headers = read(table, size * count)

    def section(index: int) -> tuple[int, int, int]:
        at = size * index
        (name,) = struct.unpack_from(order + "I", headers, at)
        (offset,) = struct.unpack_from(order + fields, headers, at + offset_at)
        (length,) = struct.unpack_from(order + fields, headers, at + length_at)
        return name, offset, length

    _, strings, length = section(names)
    place = read(strings, length).find(SECTION + b"\0")
    for name, offset, length in map(section, range(count)):
        if name == place >= 0 and _SHORTEST <= length <= _LONGEST:
            contents = read(offset, length)
            (crc,) = struct.unpack_from(order + "I", contents, length - 4)
            text = contents[:-4].split(b"\0")[0]
            return DebugLink(text, offset + length - 4, crc, "little" if order == "<" else "big")
    return None
