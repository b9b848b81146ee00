"""OCaml's compiled interfaces and units, whose data is compressed from OCaml 5.1 on, in some."""

from __future__ import annotations

from typing import IO

from graft.fixups.api import Fixup, Inside, LeftAloneError

_HEADER = 12
_COMPRESSED = b"\x84\x95\xa6\xbd"  # marshalled data; see runtime/caml/intext.h of OCaml


class Ocaml(Fixup):
    """Rewritten as they stand; that others keep sums of them is told."""

    name = "ocaml"
    opens = False
    packs = True
    suffixes = (b".cmi", b".cmo", b".cmx", b".cmt", b".cmti", b".cma", b".cmxa")

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By the name and the magic that all have."""
        return super().recognises(head, name) and head.startswith(b"Caml1999")

    def is_packed(self, file: IO[bytes]) -> bool:
        """Whether its data is compressed."""
        file.seek(_HEADER)
        return file.read(len(_COMPRESSED)) == _COMPRESSED

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file, rewritten; compressed data in it is looked into."""
        del name
        if data.startswith(_COMPRESSED, _HEADER):
            packed = data[_HEADER + data[_HEADER + 4] :]
            [changed] = inside.members([(b"data", packed)])
            if changed is not packed:
                raise LeftAloneError("its data is compressed, and its length stands before it")
        new = inside.plain(data)
        if new is not data:
            inside.note("the sums that others have of it are of the old contents")
        return new
