"""Spellings without breaks, which a search finds whole."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Final, NamedTuple

from graft.formats.hashing import NIX32_ALPHABET

FRONT_CODED: Final = "front-coded"

_KEPT: Final = 20
"""Characters at the end of a hash part that alone are no chance: 100 bits."""

_SIZE: Final = 20  # bytes that a hash part spells
_ROTATED: Final = bytes.maketrans(b"abcdefghijklmnopqrstuvwxyz", b"nopqrstuvwxyzabcdefghijklm")
# Code page 037 and its kin: digits, and the three rows of small letters.
_EBCDIC: Final = bytes.maketrans(
    b"0123456789abcdefghijklmnopqrstuvwxyz",
    bytes([*range(0xF0, 0xFA), *range(0x81, 0x8A), *range(0x91, 0x9A), *range(0xA2, 0xAA)]),
)


class WholeText(NamedTuple):
    """A text that spells a hash part.

    Attributes:
        name: the name of the spelling.
        text: the text.
        absent: bytes that do not stand before it.
    """

    name: str
    text: bytes
    absent: bytes = b""


def whole_texts(hash_part: bytes) -> Iterator[WholeText]:
    """The spellings of a hash part.

    Lists of sorted paths leave out the characters that a path shares with the path before it, and
    tables of prefixes keep them elsewhere. The hash part's own bytes, of which it is the digits in
    base 32, may have digits in other bases.
    """
    yield WholeText(FRONT_CODED, hash_part[-_KEPT:], hash_part[:-_KEPT])
    yield WholeText("rot13", hash_part.translate(_ROTATED))
    yield WholeText("ebcdic", hash_part.translate(_EBCDIC))
    own = own_bytes(hash_part)
    if own is None:
        return
    yield WholeText("bytes of the hash", own)
    yield WholeText("bytes of the hash in hex", own.hex().encode())
    yield WholeText("bytes of the hash in hex", own.hex().upper().encode())
    yield WholeText("bytes of the hash in base64", base64.b64encode(own)[:-2])


def own_bytes(hash_part: bytes) -> bytes | None:
    """The bytes of which a hash part is the digits; None: it has other characters."""
    number = 0
    for character in hash_part:
        digit = _DIGITS.get(character)
        if digit is None:
            return None
        number = number << 5 | digit
    return number.to_bytes(_SIZE, "little")


_DIGITS: Final = {ord(digit): value for value, digit in enumerate(NIX32_ALPHABET)}
