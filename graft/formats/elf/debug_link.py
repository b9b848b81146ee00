"""The file that has an ELF file's symbols, as its section .gnu_debuglink names it.

Source: "Debugging Information in Separate Files" in GDB's manual; gABI for the section headers.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from graft.formats.elf.headers import ElfHeaders, Read

SECTION = b".gnu_debuglink"
"""Its name."""
_SHORTEST, _LONGEST = 8, 4096 + 8  # bytes of the section: a name, padded, and the sum


class DebugLink(NamedTuple):
    """The contents of the section.

    Attributes:
        name: the detached file's name, without a directory.
        offset: the place of the sum, in bytes from the beginning of the ELF file.
        crc: the CRC-32 of the detached file.
        order: the byte order of the sum.
    """

    name: bytes
    offset: int
    crc: int
    order: Literal["little", "big"]


def debug_link(read: Read) -> DebugLink | None:
    """Reads the section of an ELF file, if it has one; None where its headers are damaged.

    Args:
        read: so many bytes of the file from an offset on; fewer at its end.
    """
    headers = ElfHeaders.open(read)
    if headers is None:
        return None
    order: Literal["little", "big"] = "little" if headers.order == "<" else "big"
    for section in headers.section_headers:
        if not _SHORTEST <= section.size <= _LONGEST or headers.section_name(section) != SECTION:
            continue
        contents = headers.read(section.offset, section.size)
        if len(contents) < section.size:
            return None
        name, crc = contents[:-4].split(b"\0")[0], int.from_bytes(contents[-4:], order)
        return DebugLink(name, section.offset + section.size - 4, crc, order)
    return None
