"""Compiled Erlang and Elixir: chunks of which some are compressed.

Sources: "The BEAM file format" in the Erlang run-time system's documentation; the external term
format. A module's MD5 is computed when it is asked for.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from graft.fixups.api import Fixup, Inside, LeftAloneError
from graft.fixups.deflated import deflated_again, inflated

_LITERALS = b"LitT"
_COMPRESSED_TERM = b"\x83P"


class Beam(Fixup):
    """Literals and terms unpacked, rewritten, packed; atoms and strings as they stand."""

    name = "beam"
    magics = ((8, b"BEAM"),)

    def recognises(self, head: bytes, name: bytes) -> bool:
        """By both magics."""
        return super().recognises(head, name) and head.startswith(b"FOR1")

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The module, its chunks changed."""
        del name
        length = 8 + int.from_bytes(data[4:8], "big")
        chunks = list(_chunks(data, length))
        expanded = [_expanded(kind, chunk, inside) for kind, chunk in chunks]
        old = [(kind, contents) for (kind, _), (_, contents) in zip(chunks, expanded, strict=True)]
        new = inside.members(old)
        if all(after is before for after, (_, before) in zip(new, old, strict=True)):
            return data
        pieces = []
        for (kind, chunk), (start, before), after in zip(chunks, expanded, new, strict=True):
            made = chunk if after is before else _packed(chunk, start, before, after)
            pieces += [kind, struct.pack(">I", len(made)), made, bytes(-len(made) % 4)]
        body = b"BEAM" + b"".join(pieces)
        return b"FOR1" + struct.pack(">I", len(body)) + body + data[length:]


def _chunks(data: bytes, length: int) -> Iterator[tuple[bytes, bytes]]:
    if length > len(data):
        raise LeftAloneError("it is cut")
    at = 12
    while at + 8 <= length:
        (size,) = struct.unpack_from(">I", data, at + 4)
        if at + 8 + size > length:
            raise LeftAloneError("it is cut")
        yield data[at : at + 4], data[at + 8 : at + 8 + size]
        at += 8 + size + -size % 4


def _expanded(kind: bytes, chunk: bytes, inside: Inside) -> tuple[int, bytes]:
    """The beginning of the zlib stream of a chunk, 0 if it has no stream; and its contents."""
    start = 0
    if kind == _LITERALS and any(chunk[:4]):  # else they are not compressed, from OTP 28 on
        start = 4
    elif chunk.startswith(_COMPRESSED_TERM):
        start = 6
    if not start:
        return 0, chunk
    contents, end = inflated(chunk, start + 2, inside)
    if len(contents) != int.from_bytes(chunk[start - 4 : start], "big") or chunk[
        end:
    ] != struct.pack(">I", zlib.adler32(contents)):
        raise LeftAloneError("a chunk's contents do not fit its header")
    return start, contents


def _packed(chunk: bytes, start: int, old: bytes, new: bytes) -> bytes:
    if len(new) != len(old):
        raise LeftAloneError("a chunk would change its length")
    if not start:
        return new
    again = deflated_again(new, old, chunk[start + 2 : -4])
    return chunk[: start + 2] + again + struct.pack(">I", zlib.adler32(new))
