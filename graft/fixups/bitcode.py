"""LLVM's bitcode, whose strings may be packed in groups of 6, 7 or 8 bits at any bit.

The symbols' names stand in the open, and are changed there. A reference in the other strings is
found by graft.objects.spellings.bits, and stays. Source: "LLVM Bitcode File Format".
"""

from __future__ import annotations

from typing import IO, Final

from graft.fixups.api import Fixup, Inside

BITCODE: Final = (b"BC\xc0\xde", b"\xde\xc0\x17\x0b")
"""How bitcode begins, alone or behind a wrapper."""


class Bitcode(Fixup):
    """Modules and their indexes."""

    name = "llvm-bitcode"
    opens = False
    packs = True
    magics = tuple((0, magic) for magic in BITCODE)

    def is_packed(self, file: IO[bytes]) -> bool:
        """No file is in it: the search of all its bits is another one."""
        del file
        return False

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file as plain rewriting makes it."""
        del name
        return inside.plain(data)
