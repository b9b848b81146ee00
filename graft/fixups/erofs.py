"""Uncompressed erofs images: of NixOS's /etc where that is an overlay (`system.etc.overlay`)."""

from __future__ import annotations

from graft.errors import BadFormatError
from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.formats.erofs import MAGIC, MAGIC_AT
from graft.formats.erofs_rewriting import rewritten

_REDIRECT = b"overlay.redirect"
_NIXOS_NAME = b"etc-metadata.erofs"


class Erofs(Fixup):
    """Names, targets, attributes and files of equal length, and the superblock's checksum."""

    name = "erofs"
    magics = ((MAGIC_AT, MAGIC),)

    def vital(self, data: bytes, name: bytes) -> bool:
        """That of an /etc: a system would start with OLD's units."""
        return name.endswith(_NIXOS_NAME) or _REDIRECT in data

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The image, its texts changed."""
        del name
        try:
            return rewritten(data, inside.plain, inside.members)
        except BadFormatError as error:
            raise LeftAloneError(str(error)) from None
