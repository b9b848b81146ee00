"""The behaviour as it is, frozen: whoever changes a byte of it must change a number here."""

from __future__ import annotations

from hashlib import sha256, shake_128
from itertools import product

from graft.kernel import reference
from tests.kernel.strategies import ALPHABET, Entries, encoded

# If this changes on purpose the bytes graft makes change too: `graft-1` in the fingerprint of new
# names must then be raised. The failing test shows the number to put here.
FROZEN = "7db4fd2ee7549b6cf6beb3ed9c8b1573999268ec2ea54efd83524beaced35fe5"


def characters(seed: str, count: int) -> bytes:
    return bytes(ALPHABET[byte & 31] for byte in shake_128(seed.encode()).digest(count))


def entries_for(count: int, name: int) -> Entries:
    suffix = b"-" + b"n" * name if name else b""
    entries: Entries = []
    for i in range(count):
        old, new = characters(f"old {i}", 32), characters(f"new {i}", 32)
        if i % 4 == 1:
            old = (old[: i % 7 + 1] * 32)[:32]  # overlaps itself
        entries.append((old + suffix, None if i % 5 == 4 else new + suffix.replace(b"n", b"m")))
    return entries


def text_for(entries: Entries, stride: int, gap: int) -> bytes:
    pieces = []
    for i, (old, _) in enumerate(entries):
        pieces += [old, old[:32], old[:20] + old, old[:-1], old[5:], old[:32] * 3]
        pieces.append(characters(f"noise {i}", 40 + i))
    between = bytes(stride - 1) if gap == 0 else b"/" * gap
    return between.join(encoded(piece, stride) for piece in pieces)


def test_the_behaviour_over_a_sweep_is_the_frozen_one(table: type[reference.Table]) -> None:
    digest = sha256()
    hits_seen = 0
    for count, name, stride, gap in product((0, 1, 2, 9), (0, 1, 30), (1, 2, 4), (0, 1, 6)):
        entries = entries_for(count, name)
        searcher = table(entries)
        text = text_for(entries, stride, gap)
        for final, begin in product((True, False), (0, 1, 7)):
            result, hits, cut = searcher.rewrite(text[begin:], final)
            hits_seen += len(hits)
            parameters = (count, name, stride, gap, final, begin)
            digest.update(repr((parameters, [tuple(hit) for hit in hits], cut)).encode())
            digest.update(sha256(result).digest())
    assert hits_seen > 20_000
    assert digest.hexdigest() == FROZEN
