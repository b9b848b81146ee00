"""Mach-O files (of macOS), whose code signature holds the hash of each of their pages."""

from __future__ import annotations

from graft.errors import BadFormatError
from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.formats.mach_o_signature import MAGICS, is_mach_o, resigned


class Macho(Fixup):
    """The hashes of the pages of code signed ad hoc; requirements and entitlements stay."""

    name = "macho"
    opens = False
    magics = tuple((0, magic) for magic in MAGICS)

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the magic, and in a file of several architectures by how many there are."""
        return super().recognises(head, name) and is_mach_o(head)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, signed again where it was signed ad hoc."""
        del name
        new = inside.plain(data)
        if new is data:
            return data
        try:
            return resigned(data, new)
        except BadFormatError as error:
            raise LeftAloneError(str(error)) from None
