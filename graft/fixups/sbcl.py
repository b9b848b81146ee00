"""Cores of SBCL, whose spaces may be compressed. Source: src/runtime/coreparse.c of SBCL."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from graft.fixups.api import Fixup, Inside, LeftAloneError

_MAGIC = b"LCBS\0\0\0\0"
_DIRECTORY, _END = 3861, 3840
_ENTRY = 5  # words
_DEFLATED = 8  # of a space's id


class SbclCore(Fixup):
    """Rewritten as they stand, in UTF-32 mostly; compressed ones are left alone."""

    name = "sbcl-core"
    opens = False
    packs = True
    magics = ((0, _MAGIC),)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The core, rewritten."""
        del name
        check_core(data)
        new = inside.plain(data)
        if new is not data:
            inside.note("a hash table with a rewritten text as its key does not find it any more")
        return new


def check_core(data: bytes) -> None:
    """Looks whether a core can be seen into, that is a file or follows a program in one.

    Args:
        data: the whole file; a program that no core follows passes.

    Raises:
        LeftAloneError: it is compressed.
    """
    start = 0
    if not data.startswith(_MAGIC):
        # The last words of a program: where its core begins, and the magic.
        if not data.endswith(_MAGIC) or len(data) < 16:
            return
        start = int.from_bytes(data[-16:-8], "little")
    if any(space & _DEFLATED for space in _spaces(data, start)):
        raise LeftAloneError("it is a core of SBCL, and compressed")


def _spaces(data: bytes, start: int) -> Iterator[int]:
    """The ids of a core's spaces, with their flags."""
    at = start + 8
    while at + 16 <= len(data):
        kind, words = struct.unpack_from("<QQ", data, at)
        if kind == _END or words < 2:
            return
        if kind == _DIRECTORY:
            for entry in range(at + 16, at + 8 * words, 8 * _ENTRY):
                yield from struct.unpack_from("<Q", data, entry)
        at += 8 * words
