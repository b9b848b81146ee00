"""Snappy's framing format, whose blocks are made here by hand, as its description says."""

from __future__ import annotations

import pytest

from graft.errors import BadFormatError
from graft.formats.snappy import IDENTIFIER, framed_blocks, framed_end, unpacked


def _chunk(kind: int, body: bytes) -> bytes:
    return bytes([kind]) + (len(body) + 4).to_bytes(3, "little") + bytes(4) + body


def test_literals_and_copies_are_unpacked() -> None:
    packed = bytes([19, 2 << 2]) + b"abc" + bytes([(9 - 4) << 2 | 1, 3])
    assert unpacked(packed + bytes([(7 - 1) << 2 | 2, 4, 0])) == _copied(b"abcabcabcabc", 4, 7)


def _copied(made: bytes, far: int, length: int) -> bytes:
    text = bytearray(made)
    for _ in range(length):
        text.append(text[-far])
    return bytes(text)


def test_long_literals_have_their_length_behind_the_tag() -> None:
    text = bytes(range(256)) * 2
    size = bytes([len(text) & 0x7F | 0x80, len(text) >> 7])
    assert unpacked(size + bytes([61 << 2]) + (len(text) - 1).to_bytes(2, "little") + text) == text


@pytest.mark.parametrize("packed", [b"", b"\x05\0a", b"\x04\x01\x09", b"\xff\xff\xff\xff\x0f"])
def test_damaged_blocks_are_refused(packed: bytes) -> None:
    with pytest.raises(BadFormatError):
        unpacked(packed)


def test_a_framed_stream_ends_where_no_chunk_follows() -> None:
    stream = IDENTIFIER + _chunk(1, b"hello ") + _chunk(0xFE, b"skipped") + _chunk(0, b"\3\x08you")
    data = b"before" + stream + b"\x2fbehind"
    end = framed_end(data, 6)
    assert data[end:] == b"\x2fbehind"
    assert b"".join(framed_blocks(data, 6, end)) == b"hello you"
    assert framed_end(IDENTIFIER + b"/usr/src", 0) == 0
