"""The forms that are known."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

from graft.objects.spellings.breaks import BREAK, GAP, GUTTER, LIST
from graft.objects.spellings.form import Digits, Form, Tokens

_PIECE: Final = 21  # bytes: one piece of a broken text of 42 characters has as many
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_TO_UU: Final = bytes.maketrans(_BASE64, b"`" + bytes(range(33, 96)))
_FROM_UU: Final = bytes.maketrans(b"` " + bytes(range(33, 96)), b"AA" + _BASE64[1:])
_BASE32: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_HEX32: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUV"
_TO_HEX32: Final = bytes.maketrans(_BASE32, _HEX32)
_FROM_HEX32: Final = bytes.maketrans(_HEX32, _BASE32)
_ASCII85: Final = bytes(range(33, 118))
_BASE85: Final = (
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~"
)
_TO_BASE85: Final = bytes.maketrans(_ASCII85, _BASE85)
_FROM_BASE85: Final = bytes.maketrans(_BASE85, _ASCII85)
_END: Final = 16  # bytes in which there is a word for every step

# ---- digits ----------------------------------------------------------------------------------


def _base64(text: bytes) -> Iterator[bytes]:
    """The characters that depend on nothing but the text, at each of the three alignments.

    The text's digits and letters never make one of the two characters in which the alphabets
    differ.
    """
    for before in range(3):
        first = -(-before * 4 // 3)  # the character that the bytes before it share
        last = (before + len(text)) * 8 // 6
        yield base64.b64encode(bytes(before) + text + bytes(3))[first:last]


def _base64_layers(hash_part: bytes) -> Iterator[bytes]:
    """The hash part; the ends of it as UTF-16, and of its base64, for these may be broken."""
    yield from _base64(hash_part)
    wide = hash_part.decode().encode("utf-16-le")
    for inner in (wide, *_base64(hash_part)):
        for end in (inner[:_PIECE], inner[-_PIECE:]):
            for text in _base64(end):
                yield text[:_END]


def _base32(hash_part: bytes) -> Iterator[bytes]:
    for before in range(5):
        first = -(-before * 8 // 5)
        last = (before + len(hash_part)) * 8 // 5
        yield base64.b32encode(bytes(before) + hash_part + bytes(5))[first:last]


def _ascii85(hash_part: bytes) -> Iterator[bytes]:
    for cut in range(4):
        yield base64.a85encode(hash_part[cut : cut + (len(hash_part) - cut) // 4 * 4])


def _hex(hash_part: bytes) -> Iterator[bytes]:
    digits = hash_part.hex()
    yield from (digits.encode(), digits.upper().encode())
    for separator in " :":
        yield hash_part.hex(separator).encode()
        yield hash_part.hex(separator).upper().encode()
    for first in (2, 4):  # in words of two bytes, as xxd has them
        yield " ".join([digits[:first], *re.findall("....", digits[first:])]).encode()


def _uuencoded(hash_part: bytes) -> Iterator[bytes]:
    for digits in _base64(hash_part):
        yield digits.translate(_TO_UU)


def _from_uu(digits: bytes) -> bytes:
    return _from_base64(digits.translate(_FROM_UU))


def _from_base64(digits: bytes) -> bytes:
    return base64.b64decode(digits + b"A" * (-len(digits) % 4))


def _from_base32(digits: bytes) -> bytes:
    return base64.b32decode(digits + b"A" * (-len(digits) % 8))


def _from_hex(digits: bytes) -> bytes:
    return binascii.unhexlify(digits[: len(digits) // 2 * 2])


def _from_ascii85(digits: bytes) -> bytes:
    text = bytearray()
    digits += b"u" * (-len(digits) % 5)
    for at in range(0, len(digits), 5):
        number = 0
        for digit in digits[at : at + 5]:
            number = number * 85 + digit - 33
        text += (number & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(text)


# ---- tokens ----------------------------------------------------------------------------------


def _number(base: int) -> Callable[[re.Match[bytes]], int]:
    def read(token: re.Match[bytes]) -> int:
        return int(token[1], base) & 0xFF

    return read


def _character(token: re.Match[bytes]) -> int:
    return ord(token[1])


def _reference(token: re.Match[bytes]) -> int:
    return int(token[2], 16) if token[1] is None else int(token[1]) & 0xFF


def _formats(*formats: str) -> tuple[Callable[[int], str], ...]:
    """A spelling by each format; numbers of base 16 in either case."""
    cases = dict.fromkeys(case for each in formats for case in (each, each.replace("x}", "X}")))
    return tuple(case.format for case in cases)


def _quoted(form: str) -> Callable[[int], str]:
    return lambda byte: form.format(chr(byte))


_HEX: Final = rb"([0-9a-fA-F]{2})"
# The numbers of the letters and digits of hash parts: others are in every picture.
_OF_HASH: Final = rb"(4[89]|5[0-7]|9[7-9]|1[01][0-9]|12[0-2])"
_HEX_OF_HASH: Final = rb"([36][0-9a-fA-F]|7[0-9aA])"

FORMS: Final[tuple[Form, ...]] = (
    Digits(
        name="broken",
        spell=lambda hash_part: (hash_part,),
        alphabet=b"0-9a-z",
        between=BREAK,
        is_broken=True,
    ),
    Digits(
        name="capitals",
        spell=lambda hash_part: (hash_part.upper(),),
        alphabet=b"0-9A-Z",
        between=BREAK,
        decode=bytes.lower,
    ),
    Digits(
        name="reversed",
        spell=lambda hash_part: (hash_part[: -_END - 1 : -1],),
        alphabet=b"0-9a-z",
        between=BREAK,
        is_backward=True,
    ),
    Digits(
        name="base64",
        spell=_base64_layers,
        alphabet=b"0-9A-Za-z",
        between=BREAK,
        group=4,
        size=3,
        decode=_from_base64,
        least=42,
    ),
    Digits(
        name="uuencode",
        spell=_uuencoded,
        alphabet=rb" -`",
        between=rb"[ \t]*+\r?\n[ -`]",  # a line begins with its length
        group=4,
        size=3,
        zero=b"`",
        decode=_from_uu,
        least=42,
    ),
    Digits(
        name="base32",
        spell=_base32,
        alphabet=b"A-Z2-7",
        between=BREAK,
        group=8,
        size=5,
        decode=_from_base32,
        least=50,
    ),
    Digits(
        name="base32hex",
        spell=lambda hash_part: (text.translate(_TO_HEX32) for text in _base32(hash_part)),
        alphabet=b"0-9A-V",
        between=BREAK,
        group=8,
        size=5,
        zero=b"0",
        decode=lambda digits: _from_base32(digits.translate(_FROM_HEX32)),
        least=50,
    ),
    Digits(
        name="base85",
        spell=lambda hash_part: (text.translate(_TO_BASE85) for text in _ascii85(hash_part)),
        alphabet=rb"0-9A-Za-z!#$%&()*+;<=>?@^_`{|}~-",
        between=rb"[ \t]*+\r?\n[ \t]*+",
        group=5,
        size=4,
        zero=b"0",
        decode=lambda digits: _from_ascii85(digits.translate(_FROM_BASE85)),
        least=35,
    ),
    Digits(
        name="ascii85",
        spell=_ascii85,
        alphabet=b"!-u",
        between=rb"[ \t]*+\r?\n[ \t]*+",
        group=5,
        size=4,
        zero=b"!",
        decode=_from_ascii85,
        least=35,
    ),
    Digits(
        name="hex",
        spell=_hex,
        alphabet=b"0-9a-fA-F",
        between=rb"%b|[:,;.-]?[ \t]{0,2}(?:%b)|%b" % (GUTTER, BREAK, GAP),
        group=2,
        zero=b"0",
        decode=_from_hex,
        least=64,
    ),
    Tokens(
        name="percent",
        spell=_formats("%{:02x}"),
        token=rb"%(?:25)?" + _HEX,
        between=BREAK,
        read=_number(16),
    ),
    Tokens(
        name="quoted-printable",
        spell=_formats("={:02x}"),
        token=rb"=" + _HEX,
        between=BREAK,
        read=_number(16),
    ),
    Tokens(
        name="hex-escape",
        spell=_formats("\\x{:02x}", "\\\\x{:02x}"),
        token=rb"\\{1,4}x(?:\{0*)?" + _HEX + rb"\}?",
        between=BREAK,
        read=_number(16),
    ),
    Tokens(
        name="json",
        spell=_formats("\\u{:04x}", "\\u{{{:02x}}}"),
        token=rb"\\{1,4}[uU](?:0{2,6}|\{0*)" + _HEX + rb"\}?",
        between=BREAK,
        read=_number(16),
    ),
    Tokens(
        name="octal",
        spell=_formats("\\{:03o}"),
        token=rb"\\{1,4}([01][0-7]{2})",
        between=BREAK,
        read=_number(8),
    ),
    Tokens(
        name="decimal-escape",
        spell=_formats("\\{:03d}"),
        token=rb"\\{1,4}([01][0-9]{2})",
        between=BREAK,
        read=_number(10),
    ),
    Tokens(
        name="character-reference",
        spell=_formats("&#{:d};", "&#x{:02x};"),
        token=rb"&#(?:0*([0-9]{2,3})|[xX]0*([0-9a-fA-F]{2}));?",
        between=BREAK,
        read=_reference,
    ),
    Tokens(
        name="hex-bytes",
        spell=_formats("0x{:02x}, ", "0x{:02x},", "0x{:02x} "),
        token=rb"0[xX]" + _HEX_OF_HASH,
        between=LIST,
        read=_number(16),
    ),
    Tokens(
        name="decimal-bytes",
        spell=_formats("{:d},", "{:d}, ", "{:d} "),
        token=rb"(?<![0-9])" + _OF_HASH + rb"(?![0-9])",
        between=LIST,
        read=_number(10),
    ),
    Tokens(
        name="bits",
        spell=_formats("{:08b}"),
        token=rb"([01]{8})",
        between=BREAK,
        read=_number(2),
    ),
    Tokens(
        name="overstruck",
        spell=tuple(map(_quoted, ("_\b{0}", "{0}\b{0}"))),
        token=rb"[_0-9a-z]\x08([0-9a-z])",
        between=BREAK,
        read=_character,
    ),
    Tokens(
        name="character-calls",
        spell=_formats("chr({:d})+", "chr({:d}) + ", "chr({:d}).", "chr({:d}) . "),
        token=rb"[cC][hH][rR]\(" + _OF_HASH + rb"\)",
        between=rb"\s*+[+.&,]\s*+",
        read=_number(10),
    ),
    Tokens(
        name="characters",
        spell=tuple(map(_quoted, ("'{}', ", "'{}',", '"{}", ', '"{}",'))),
        token=rb"[\"']([0-9a-z])[\"']",
        between=LIST,
        read=_character,
    ),
)
"""All of them; two may have the same name."""
