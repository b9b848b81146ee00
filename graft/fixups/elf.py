"""ELF files: strings cut up by compilers, compressed sections, sums of what was detached.

Source: for the sums, "Debugging Information in Separate Files" in GDB's manual.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.compressed_sections import compressed_sections, has_compressed_sections

_SECTION = b".gnu_debuglink"


class Elf(Fixup):
    """What stands in immediates and constants, and the CRC of the file that has the symbols.

    A sum is computed again if it was right before.
    """

    name = "elf"
    opens = False
    packs = True
    plain_without = True
    magics = ((0, b"\x7fELF"),)

    def is_packed(self, file: IO[bytes]) -> bool:
        """Whether it has compressed sections."""
        return has_compressed_sections(file)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file with all of its references changed."""
        del name
        plain = inside.plain(data)
        patches = [*inside.fragments(data), *_sums(data, inside)]
        if any(not plain.startswith(patch, at) for at, patch in patches):
            patched = bytearray(plain)
            for at, patch in patches:
                patched[at : at + len(patch)] = patch
            plain = bytes(patched)
        try:
            return compressed_sections(plain, inside)
        except LeftAloneError as error:
            inside.note(str(error))
            return plain


def _sums(data: bytes, inside: Inside) -> Iterator[tuple[int, bytes]]:
    found = _link(data)
    if found is not None:
        at, file = found
        order = "little" if data[5] == 1 else "big"
        for old, new in inside.detached(file):
            if data.startswith(_crc(old, order), at):
                yield at, _crc(new, order)
                return


def _crc(data: bytes, order: str) -> bytes:
    return zlib.crc32(data).to_bytes(4, order)  # type: ignore[arg-type]


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
