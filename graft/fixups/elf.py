"""ELF files: strings cut up by compilers, compressed sections, sums of detached parts."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import IO, Final

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.compressed_sections import compressed_sections, has_compressed_sections
from graft.fixups.string_hashes import string_hashes
from graft.fixups.strings import changed_strings
from graft.fixups.symbol_names import kept_names
from graft.fixups.text_tables import text_tables
from graft.formats.elf.debug_link import SECTION, debug_link
from graft.formats.elf.sections import ElfSections

# In the note that has it: its type and its owner, by byte order (gABI, "Note Section").
_BUILD_ID = {1: b"\x03\0\0\0GNU\0", 2: b"\0\0\0\x03GNU\0"}
_FIRST = 1 << 16  # bytes in which linkers put notes; the notes of object files may be anywhere

_TOLD = 3  # notes of one kind on a file

BUILD_ID: Final = "its build id is still the original's"
"""The note on nearly every program."""


class ElfFixup(Fixup):
    """Strings in immediates and constants, and the CRC of the file that has the symbols.

    A sum is computed again if it was right before. The build id is kept: by it debuggers and symbol
    servers find the files that belong to the original. They still fit, but for the references in
    them.
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
        new = self._rewritten(data, inside)
        if new is not data and _has_build_id(data):
            inside.note(BUILD_ID)
        return new

    @staticmethod
    def _rewritten(data: bytes, inside: Inside) -> bytes:
        plain = inside.plain(data)
        patches = [*inside.fragments(data), *_sums(data, inside)]
        if plain is not data and (names := list(kept_names(data, plain))):
            inside.note("names of symbols keep old hash parts: loaders find symbols by their names")
            patches += names
        if any(not plain.startswith(patch, at) for at, patch in patches):
            patched = bytearray(plain)
            for at, patch in patches:
                patched[at : at + len(patch)] = patch
            plain = bytes(patched)
        if plain is not data:
            for text in _computed(data, plain):
                inside.note(text)
        try:
            return compressed_sections(plain, inside)
        except LeftAloneError as error:
            inside.note(str(error))
            return plain


def _computed(data: bytes, new: bytes) -> Iterator[str]:
    """Values that a compiler or a generator has made of texts that change."""
    try:
        elf = ElfSections(data)
        strings = list(changed_strings(data, new, elf))
        hashes = list(string_hashes(data, elf, strings))
        tables = list(text_tables(data, new, elf, strings))
    except (ValueError, struct.error):  # headers that lie
        return
    for name, at, string in list(dict.fromkeys(hashes))[:_TOLD]:
        yield f"the number at {at} may be a hash ({name}) of the old text at {string}"
    for kind, at, string in list(dict.fromkeys(tables))[:_TOLD]:
        yield f"the text at {string} changes; a table may hold it at {at} {kind}"


def _has_build_id(data: bytes) -> bool:
    note = _BUILD_ID.get(data[5])
    is_object = data[16:18] in {b"\1\0", b"\0\1"}
    return note is not None and data.find(note, 0, len(data) if is_object else _FIRST) >= 0


def _sums(data: bytes, inside: Inside) -> Iterator[tuple[int, bytes]]:
    if SECTION not in data:  # others may have headers that lie
        return
    link = debug_link(lambda at, size: data[at : at + size])
    if link is not None:
        for old, new in inside.detached(link.name):
            if link.crc == zlib.crc32(old):
                yield link.offset, zlib.crc32(new).to_bytes(4, link.order)
                return
