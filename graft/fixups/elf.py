"""ELF files: strings cut up by compilers, compressed sections, sums of what was detached."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import IO

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.compressed_sections import compressed_sections, has_compressed_sections
from graft.formats.elf_debug_link import debug_link


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
    link = debug_link(lambda at, size: data[at : at + size])
    if link is not None:
        for old, new in inside.detached(link.name):
            if link.crc == zlib.crc32(old):
                yield link.offset, zlib.crc32(new).to_bytes(4, link.order)
                return
