"""Immediates of 64-bit ARM: sixteen bits an instruction, among the other bits of it.

They are found, and not rewritten.

Source: Arm Architecture Reference Manual for A-profile, MOVZ and MOVK.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from graft.formats.elf.sections import ElfSections, Image

_LAST: Final = re.compile(rb"(?=[\0-\xff]{2}[\xe0-\xff]\xf2)")
"""A `movk` of the highest sixteen bits: with it a compiler ends an immediate of 64 bits."""
_BEFORE: Final = 12
"""How many instructions may lie between the first part of an immediate and its last."""


def moved_words(data: Image, elf: ElfSections) -> Iterator[tuple[int, bytes]]:
    """Every immediate of eight bytes that is put together in a register.

    Yields:
        Where its last instruction is in the file, and the bytes.
    """
    for segment in elf.segments:
        if not segment.executable:
            continue
        for match in _LAST.finditer(data, segment.offset, segment.offset + segment.size):
            if (match.start() - segment.offset) % 4 == 0:
                word = _word(data, segment.offset, match.start())
                if word is not None:
                    yield match.start(), word


def _word(data: Image, first: int, at: int) -> bytes | None:
    """The eight bytes that the instructions up to one put into its register."""
    register = data[at] & 31
    parts: dict[int, int] = {}
    for place in range(at, max(first, at - 4 * _BEFORE) - 1, -4):
        instruction = int.from_bytes(data[place : place + 4], "little")
        if instruction & 31 != register or instruction >> 23 not in {0x1E5, 0x1A5}:
            continue
        parts.setdefault(instruction >> 21 & 3, instruction >> 5 & 0xFFFF)
        if instruction >> 23 == 0x1A5:  # movz, the first
            break
    if len(parts) < 4:
        return None
    return b"".join(parts[part].to_bytes(2, "little") for part in range(4))
