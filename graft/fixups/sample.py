"""A text to try compressors on: the result tells whether graft knows them."""

from __future__ import annotations

import hashlib
from functools import cache


@cache
def sample_text() -> bytes:
    """Words in an order without rhyme, numbers, and noise: some 340 kB, more than a block holds."""
    words = [hashlib.sha256(b"%d" % number).hexdigest()[: 2 + number % 9] for number in range(500)]
    lines = []
    for number in range(6000):
        digest = hashlib.sha256(b"line %d" % number).digest()
        chosen = [words[(byte * byte + number) % 500] for byte in digest[: 3 + number % 11]]
        lines.append(" ".join(chosen).encode())
        if number % 40 == 0:
            lines.append(digest * (1 + number % 3))
    return b"\n".join(lines)
