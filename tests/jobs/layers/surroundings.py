"""Layers of other bytes before and behind: a stream or an archive at any offset of a file."""

from __future__ import annotations

import random

from tests.jobs.layers.layer import Kind, Layer, Reference, require

_WORDS = ("of", "the", "store", "path", "library", "0x00", "value", "=", "if (a < b)", "return;")


def noise(choice: random.Random, size: int, kind: Kind) -> bytes:
    """Bytes without a meaning."""
    if kind == "text":
        words: list[str] = []
        length = 0
        while length < size:
            words.append(choice.choice(_WORDS))
            length += len(words[-1]) + 1
        return " ".join(words).encode()
    match choice.randrange(4):
        case 0:
            return bytes(size)
        case 1:
            return b"".join(
                choice.randrange(1 << 16).to_bytes(4, "little") for _ in range(size // 4 + 1)
            )
        case 2:
            return choice.randbytes(min(size, 200))
        case _:
            return bytes(choice.choices(b"\0\0\1\2\3abc\x80\xff", k=size))


def surroundings(choice: random.Random, kind: Kind) -> Layer:
    """Bytes before and behind.

    Args:
        kind: what they are around.
    """
    before = choice.choice((0, 0, 1, 3, choice.randrange(64), choice.randrange(20_000)))
    behind = choice.choice((0, 1, choice.randrange(64), choice.randrange(20_000)))
    around: Kind = choice.choice((kind, "bytes"))
    first, last = noise(choice, before, around), noise(choice, behind, around)
    last = last and b"\xff" + last[1:]  # zeros behind a stream pad it
    if kind == "text":
        first, last = first and first + b"\n", last and b"\n" + last

    def wrap(data: bytes, reference: Reference) -> bytes:
        del reference
        return first + data + last

    def peel(data: bytes, reference: Reference) -> bytes:
        del reference
        require(data.startswith(first), "the bytes before it changed")
        require(data.endswith(last), "the bytes behind it changed")
        return data[len(first) : len(data) - len(last)]

    name = f"around({len(first)} {around} before, {len(last)} behind)"
    return Layer(name, wrap, peel, kind if around == "text" else "bytes")
