"""Compound files: a stream is read along its sectors, and changed in them."""

from __future__ import annotations

import struct

from graft.fixups import registered
from graft.fixups.compound import CompoundFile
from graft.kernel import Table

OLD = b"q1w2r3y4p5a6s7d8f9g0h1j2k3l4z5x6-lib-1.0"
NEW = b"m9n8b7v6c5x4z3l2k1j0h9g8f7d6s5a4-lib-1.1"
TABLE = Table([(OLD, NEW)])
SECTOR = 512
END, FREE, OF_FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD


def _entry(name: str, kind: int, first: int, size: int) -> bytes:
    text = name.encode("utf-16-le") + b"\0\0"
    links = struct.pack("<III", FREE, FREE, 1 if kind == 5 else FREE)
    return (
        text.ljust(64, b"\0")
        + struct.pack("<HBB", len(text), kind, 1)
        + links
        + bytes(36)
        + struct.pack("<IQ", first, size)
    )


def _compound(large: bytes, small: bytes, name: str = "large") -> bytes:
    """A file whose large stream lies in every second sector, the last ones first."""
    count = -(-len(large) // SECTOR)
    places = list(range(4, 4 + 2 * count, 2))[::-1]
    fat = [FREE] * 128
    fat[0], fat[1], fat[2], fat[3] = OF_FAT, END, END, END
    for here, then in zip(places, [*places[1:], END], strict=True):
        fat[here] = then
    minis = -(-len(small) // 64)
    minifat = [*range(1, minis), END, *[FREE] * (128 - minis)]
    directory = b"".join(
        [
            _entry("Root Entry", 5, 3, 64 * minis),
            _entry(name, 2, places[0], len(large)),
            _entry("small", 2, 0, len(small)),
            bytes(128),
        ]
    )
    sectors = [b"\xee" * SECTOR for _ in range(4 + 2 * count)]
    sectors[0] = struct.pack("<128I", *fat)
    sectors[1] = directory
    sectors[2] = struct.pack("<128I", *minifat)
    sectors[3] = small.ljust(SECTOR, b"\0")
    for index, place in enumerate(places):
        piece = large[index * SECTOR : (index + 1) * SECTOR]
        sectors[place] = piece.ljust(SECTOR, b"\0")
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16)
    head += struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(10)
    # At 44: sectors of the table, the directory's first sector, and at 56 the least large size.
    head += struct.pack("<IIIIIIII", 1, 1, 0, 4096, 2, 1, END, 0)
    head += struct.pack("<109I", 0, *[FREE] * 108)
    return head + b"".join(sectors)


def test_a_path_over_two_distant_sectors_is_found_and_rewritten() -> None:
    large = b"x" * (SECTOR * 9 - 20) + OLD + b"y" * 700
    small = b"z" * 50 + OLD + b"z" * 40
    data = _compound(large, small)
    assert data.count(OLD) == 1  # the small stream's
    places, outcomes = registered().references(data, b"a.doc", TABLE)
    assert outcomes == []
    assert {place.container for place in places} >= {("compound-file:large",)}
    new, (outcome,) = registered().rewrite(data, b"a.doc", TABLE)
    assert outcome.outcome == "rewritten"
    assert new == _compound(large.replace(OLD, NEW), small.replace(OLD, NEW))


def test_a_signed_file_is_left_alone() -> None:
    data = _compound(b"x" * 5000 + OLD, b"s", "\5DigitalSignature")
    new, (outcome,) = registered().rewrite(data, b"a.msi", TABLE)
    assert new == data
    assert outcome.reason == "it is signed"


def test_a_circle_of_sectors_ends() -> None:
    data = bytearray(_compound(b"x" * 5000, b"s"))
    fat = struct.unpack_from("<128I", data, SECTOR)
    last = fat.index(END, 4)
    struct.pack_into("<I", data, SECTOR + 4 * last, last)
    _, outcomes = registered().references(bytes(data), b"a.doc", TABLE)
    assert [each.reason for each in outcomes] == ["its sectors form a circle"]
    assert isinstance(registered().recognise(bytes(data[:64]), b""), CompoundFile)
