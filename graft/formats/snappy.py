"""Snappy's framing format: chunks of packed or plain bytes, each with a sum.

Sources: format_description.txt and framing_format.txt of Snappy.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from graft.errors import BadFormatError

IDENTIFIER: Final = b"\xff\6\0\0sNaPpY"
"""How a framed stream begins."""

LARGEST: Final = 1 << 16
"""Bytes that a chunk holds at most."""

_HEADER, _SUM = 4, 4
_PACKED, _PLAIN, _SKIPPABLE = 0, 1, 0x80


def framed_end(data: bytes, start: int) -> int:
    """Where the framed stream ends that begins at an offset; `start` if no stream begins there.

    A chunk that is cut or that has no known type ends it.
    """
    at = start
    while (size := _chunk_size(data, at)) is not None:
        at += size
    return at if at > start + len(IDENTIFIER) else start


def framed_blocks(data: bytes, start: int, end: int) -> Iterator[bytes]:
    """The contents of the chunks of a framed stream, one after another.

    Args:
        start: offset of its identifier.
        end: its `framed_end`.

    Raises:
        BadFormatError: a chunk cannot be unpacked.
    """
    at = start
    while at < end:
        size = int.from_bytes(data[at + 1 : at + _HEADER], "little") + _HEADER
        body = data[at + _HEADER + _SUM : at + size]
        if data[at] == _PACKED:
            yield unpacked(body)
        elif data[at] == _PLAIN:
            yield body
        at += size


def unpacked(data: bytes) -> bytes:
    """The contents of one packed block.

    Raises:
        BadFormatError: it is damaged.
    """
    size, at = _number(data)
    if size > LARGEST:
        raise BadFormatError(f"a snappy block holds {size} bytes")
    made = bytearray()
    while at < len(data):
        tag = data[at]
        at += 1
        if tag & 3 == 0:
            length = tag >> 2
            if length >= 60:
                more = length - 59
                length = int.from_bytes(data[at : at + more], "little")
                at += more
            made += data[at : at + length + 1]
            at += length + 1
            continue
        if tag & 3 == 1:
            length, width = (tag >> 2 & 7) + 4, 1
            far = tag >> 5 << 8
        else:
            length, width = (tag >> 2) + 1, 2 if tag & 3 == 2 else 4
            far = 0
        far |= int.from_bytes(data[at : at + width], "little")
        at += width
        if not 0 < far <= len(made):
            raise BadFormatError("a snappy block refers to bytes before its beginning")
        begin = len(made) - far
        if length <= far:
            made += made[begin : begin + length]
        else:
            piece = made[begin:]
            made += (piece * (length // far + 1))[:length]
        if len(made) > size:
            break
    if len(made) != size or at != len(data):
        raise BadFormatError("a snappy block does not have the size that it tells")
    return bytes(made)


def _chunk_size(data: bytes, at: int) -> int | None:
    """Bytes of the chunk at an offset, with its header; None: there is no whole chunk."""
    if at + _HEADER > len(data):
        return None
    kind = data[at]
    size = int.from_bytes(data[at + 1 : at + _HEADER], "little")
    if kind in {_PACKED, _PLAIN}:
        if not _SUM < size <= LARGEST + (LARGEST >> 2) + _SUM:
            return None
    elif kind < _SKIPPABLE or (kind == IDENTIFIER[0] and not data.startswith(IDENTIFIER, at)):
        return None
    end = at + _HEADER + size
    return None if end > len(data) else _HEADER + size


def _number(data: bytes) -> tuple[int, int]:
    """A number in groups of seven bits, and where it ends."""
    value = 0
    for at, byte in enumerate(data[:5]):
        value |= (byte & 0x7F) << 7 * at
        if byte < _SKIPPABLE:
            return value, at + 1
    raise BadFormatError("a snappy block has no size")
