"""Object files as if they were linked: operands that lead from code to constants.

Source: System V ABI, AMD64 supplement, "Relocation".
"""

from __future__ import annotations

import struct
from typing import Final

from graft.formats.elf.sections import X86_64, ElfSections, Image

_RELA: Final = 4
_PC32: Final = 2
_ENTRY: Final = struct.Struct("<QQq")
_SYMBOL: Final = struct.Struct("<4x2xHQ8x")
_OPERAND: Final = struct.Struct("<i")


def related(data: Image, elf: ElfSections) -> Image:
    """A file's bytes; for an object file, a copy with the distances to places in the file itself.

    A linker computes them from relocations. All else, immediates and constants among it, is as it
    was, at the same offsets.
    """
    if not elf.relocatable or elf.machine != X86_64:
        return data
    linked = bytearray(data)
    for table in elf.sections:
        if table.type != _RELA or max(table.info, table.link) >= len(elf.sections):
            continue
        code, symbols = elf.sections[table.info], elf.sections[table.link]
        entries = data[table.offset : table.offset + table.size - table.size % _ENTRY.size]
        for offset, info, addend in _ENTRY.iter_unpack(entries):
            at = symbols.offset + (info >> 32) * _SYMBOL.size
            if info & 0xFFFFFFFF != _PC32 or at + _SYMBOL.size > len(data):
                continue
            target = elf.place(*_SYMBOL.unpack_from(data, at))
            place = code.offset + offset
            if target is not None and place + _OPERAND.size <= len(linked):
                distance = target + addend - place
                if -(1 << 31) <= distance < 1 << 31:
                    _OPERAND.pack_into(linked, place, distance)
    return bytes(linked)
