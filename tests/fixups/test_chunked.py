"""Chunks with a CRC each: the CRCs of changed chunks are right, and no other byte changes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import pytest

from graft.fixups import registered
from graft.kernel import Table

OLD = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0"
NEW = b"m9n8b7v6c5x4z3l2k1j0h9g8f7d6s5a4-lib-1.1"
TABLE = Table([(OLD, NEW)])


def _png(comment: bytes) -> bytes:
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"tEXt", b"Comment\0" + comment),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)
        for kind, body in chunks
    )


def _crc_of_ogg(page: bytes) -> int:
    register = 0
    for byte in page:
        register ^= byte << 24
        for _ in range(8):
            register = (register << 1 ^ (0x04C11DB7 if register >> 31 else 0)) & 0xFFFFFFFF
    return register


def _page(body: bytes, number: int) -> bytes:
    sizes = [255] * (len(body) // 255) + [len(body) % 255]
    head = b"OggS\0\0" + struct.pack("<qIII", 0, 1, number, 0) + bytes([len(sizes), *sizes])
    crc = _crc_of_ogg(head + body)
    return head[:22] + crc.to_bytes(4, "little") + head[26:] + body


def _ogg(comment: bytes) -> bytes:
    return _page(b"OpusHead\1\2", 0) + _page(b"OpusTags" + comment + bytes(300), 1)


@pytest.mark.parametrize("make", [_png, _ogg])
def test_a_reference_in_a_chunk_is_rewritten_with_its_crc(make: Callable[[bytes], bytes]) -> None:
    new, [outcome] = registered().rewrite(make(OLD), b"a", TABLE)
    assert new == make(NEW)
    assert outcome.outcome == "rewritten"
    assert registered().rewrite(make(b"nothing"), b"a", TABLE) == (make(b"nothing"), [])


@pytest.mark.parametrize("make", [_png, _ogg])
def test_a_chunk_whose_crc_was_wrong_is_left_alone(make: Callable[[bytes], bytes]) -> None:
    damaged = make(OLD).replace(b"Opus", b"opus")
    damaged = damaged.replace(b"Comment", b"comment")
    new, [outcome] = registered().rewrite(damaged, b"a", TABLE)
    assert new == damaged
    assert outcome.outcome == "left-alone"


@pytest.mark.parametrize("make", [_png, _ogg])
def test_a_file_that_is_cut_off_is_left_alone(make: Callable[[bytes], bytes]) -> None:
    cut = make(OLD)[:-6]
    new, [outcome] = registered().rewrite(cut, b"a", TABLE)
    assert (new, outcome.outcome) == (cut, "left-alone")


def _pe(text: bytes, *, summed: bool = True) -> bytes:
    header = 0x80
    optional = struct.pack("<H", 0x20B).ljust(240, b"\0")
    head = b"MZ".ljust(60, b"\0") + header.to_bytes(4, "little")
    head = (
        head.ljust(header, b"\0") + b"PE\0\0" + struct.pack("<HHIIIHH", 0x8664, 0, 0, 0, 0, 240, 0)
    )
    data = bytearray(head + optional + text + b"\0" * 9)
    if summed:
        words = data + bytes(len(data) % 2)
        total = sum(struct.unpack(f"<{len(words) // 2}H", words))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        data[header + 88 : header + 92] = (total + len(data)).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize("summed", [True, False])
def test_the_checksum_of_a_windows_program_is_made_anew_where_it_was_right(summed: bool) -> None:
    new, _ = registered().rewrite(_pe(OLD, summed=summed), b"a.exe", TABLE)
    assert new == _pe(NEW, summed=summed)
