"""Bytes that a text spells in digits: base64, numbers of base 16 and of base 10.

Bytes between digits are skipped: ends of lines, the margin of the next line, separators of numbers,
and the first bytes of a number or an escape. `spelled_head` is the specification of
graft/kernel/native/spelled.c.
"""

from __future__ import annotations

import binascii
import re
from typing import Final, NamedTuple

SPELLED: Final = ("base64", "hex", "decimal")
"""The spellings, in the order of graft/kernel/native/spelled.h."""

HEAD: Final = 512
"""Bytes by which a spelled stream is judged."""

_DIGITS: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_URL_SAFE: Final = {ord("-"): 62, ord("_"): 63}
_VALUES: Final = {digit: value for value, digit in enumerate(_DIGITS)} | _URL_SAFE
_HEX: Final = b"0123456789abcdefABCDEF"
_BYTES: Final = 256
_LONGEST: Final = 3  # digits of a byte in base 10
_AHEAD: Final = 3  # bytes by which a filler is told

_BASE64_FILLER: Final = rb"(?:[ \t\r\n]|\\[nr\n])"
_NUMBER_FILLER: Final = rb"(?:0[xX]|[uU]00|[ \t\r\n,;:.\-\"'\\%=&#{}xX])"
_BYTE: Final = rb"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9]?[0-9])"
_FILLERS: Final = {
    "base64": re.compile(_BASE64_FILLER),
    "hex": re.compile(rb"([0-9a-fA-F]{2})|%b" % _NUMBER_FILLER),
    "decimal": re.compile(rb"([0-9]++)|%b" % _NUMBER_FILLER),
}
_RUNS: Final = {
    "base64": re.compile(rb"(?:[A-Za-z0-9+/_-]|%b)++" % _BASE64_FILLER),
    "hex": re.compile(rb"(?:[0-9a-fA-F]{2}|%b)++" % _NUMBER_FILLER),
    "decimal": re.compile(rb"(?:%b(?![0-9])|%b)++" % (_BYTE, _NUMBER_FILLER)),
}


class SpelledHead(NamedTuple):
    """The first bytes that a text spells.

    Attributes:
        contents: the bytes, `HEAD` at most.
        ends: a character that is neither a digit nor a filler ends them.
    """

    contents: bytes
    ends: bool


class SpelledBytes(NamedTuple):
    """All the bytes that a text spells.

    Attributes:
        contents: the bytes.
        end: offset behind the last character that was read.
    """

    contents: bytes
    end: int


def spelled_head(kind: str, text: bytes, at: int) -> SpelledHead:
    """The first bytes that a text spells from an offset on.

    Args:
        kind: one of SPELLED.
    """
    made = bytearray()
    bits = count = 0
    filler = re.compile(_BASE64_FILLER if kind == "base64" else _NUMBER_FILLER)
    while len(made) < HEAD and at < len(text):
        if kind == "base64":
            if (digit := _VALUES.get(text[at])) is not None:
                at += 1
                bits, count = bits << 6 | digit, count + 6
                if count >= 8:
                    count -= 8
                    made.append(bits >> count)
                    bits &= (1 << count) - 1
                continue
        elif kind == "hex":
            if text[at] in _HEX and at + 1 == len(text):
                break
            if text[at] in _HEX and text[at + 1] in _HEX:
                made.append(int(text[at : at + 2], 16))
                at += 2
                continue
        elif (number := re.compile(rb"[0-9]{1,4}").match(text, at)) is not None:
            value = int(number[0])
            if value >= _BYTES or len(number[0]) > _LONGEST:
                return SpelledHead(bytes(made), ends=True)
            if number.end() == len(text):
                break
            made.append(value)
            at = number.end()
            continue
        if len(text) - at < _AHEAD and text[at] in b"uU\\":
            break
        skipped = filler.match(text, at)
        if skipped is None:
            return SpelledHead(bytes(made), ends=True)
        at = skipped.end()
    return SpelledHead(bytes(made), ends=False)


def read_spelled(kind: str, text: bytes, at: int) -> SpelledBytes:
    """All the bytes that a text spells from an offset on, whose first two characters are digits.

    Args:
        kind: one of SPELLED.
    """
    found = _RUNS[kind].match(text, at)
    if found is None:
        return SpelledBytes(b"", at)
    if kind == "base64":
        digits = _FILLERS[kind].sub(b"", found[0]).translate(bytes.maketrans(b"-_", b"+/"))
        digits = digits[: len(digits) - (len(digits) % 4 == 1)]
        return SpelledBytes(binascii.a2b_base64(digits + b"=" * (-len(digits) % 4)), found.end())
    digits = _FILLERS[kind].sub(rb"\1 ", found[0])
    numbers = digits.split()
    contents = bytes.fromhex(digits.decode()) if kind == "hex" else bytes(map(int, numbers))
    return SpelledBytes(contents, found.end())
