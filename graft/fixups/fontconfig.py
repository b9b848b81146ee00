"""Caches of fontconfig, which are named by the MD5 of the directory they are about."""

from __future__ import annotations

from graft.fixups.api import Fixup, Inside


class Fontconfig(Fixup):
    """Rewritten as they stand; that they will not be found by their names is told."""

    name = "fontconfig"
    opens = False
    suffixes = tuple(b".cache-%d" % version for version in range(1, 20))

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The cache with its directory rewritten."""
        del name
        new = inside.plain(data)
        if new is not data:
            inside.note("its name is a hash of the old directory: fontconfig will make another")
        return new
