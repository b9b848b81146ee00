"""Signatures and sums in a text, over the text itself or over a part of it.

A signature is told by the words around it: only the owner of its key can sign again. A sum is told
by itself: a token that is the sum of the text around it in the original.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from graft.fixups.guards import tail_sum

LIMIT: Final = 1 << 20
"""Bytes of the largest text whose sums are looked for: each token costs some passes over it."""

SIGNED: Final = re.compile(
    rb"^-----BEGIN (?:PGP|SSH) SIGNATURE-----\r?\n(?:[\w-]+: .*\n)*\r?\n?[0-9A-Za-z+/=]{20,}\r?\n"
    rb"|^-----BEGIN (?:PKCS7|CMS)-----\r?\n[0-9A-Za-z+/=]{20,}\r?\n"
    rb"|^Content-Type: multipart/signed;|^DKIM-Signature: *v=|^gpgsig -----BEGIN "
    rb"|<(?:\w+:)?SignatureValue[^>]*>\s*[0-9A-Za-z+/]{4}"
    rb"|\"(?:signatures?|sig)\"\s*:\s*(?:[\[{]\s*)*(?:\"(?:key_?id|sig|protected)\"|\"[\w+/=-]{60,}\")"
    rb"|\Auntrusted comment: .*\n[0-9A-Za-z+/=]{50,}\n|/ByteRange *\[ *[0-9]"
    rb"|^Sig: \S+:[0-9A-Za-z+/]{86}==",
    re.MULTILINE,
)
"""Words that stand with a signature over their text."""

_RAW: Final = 4  # bytes of the shortest sum in bytes
_REACH: Final = 256  # bytes in which a signature or a sum is told
_MOST: Final = 16  # tokens that are tried
_EDGE: Final = 3  # lines at either end in which a sum of 32 bits may stand
_WORD: Final = 8  # digits of such a sum

_TOKEN: Final = re.compile(
    rb"(?<![0-9A-Za-z+/])(?:[0-9a-f]{128}|[0-9a-f]{96}|[0-9a-f]{64}|[0-9a-f]{56}|[0-9a-f]{40}"
    rb"|[0-9a-f]{32}|[0-9A-F]{128}|[0-9A-F]{96}|[0-9A-F]{64}|[0-9A-F]{40}|[0-9A-F]{32}"
    rb"|[0-9A-Za-z+/]{86}==|[0-9A-Za-z+/]{64}|[0-9A-Za-z+/]{43}=|[0-9A-Za-z+/]{27}="
    rb"|[0-9A-Za-z+/]{22}==|[0-9a-f]{8}|[0-9A-F]{8})(?![0-9A-Za-z+/=])"
)
_ELEMENT: Final = re.compile(rb"<(script|style)\b[^>]*>(.*?)</\1>", re.DOTALL | re.IGNORECASE)
_QUOTED: Final = re.compile(rb"\"([^\"\n]*)\"|'([^'\n]*)'")

_Sum = Callable[[bytes], bytes]
_SUMS: Final[dict[int, tuple[tuple[str, _Sum], ...]]] = {
    4: (("crc32", lambda data: zlib.crc32(data).to_bytes(4)),),
    16: (("md5", lambda data: hashlib.md5(data, usedforsecurity=False).digest()),),
    20: (("sha1", lambda data: hashlib.sha1(data, usedforsecurity=False).digest()),),
    28: (("sha224", lambda data: hashlib.sha224(data).digest()),),
    32: (
        ("sha256", lambda data: hashlib.sha256(data).digest()),
        ("blake2s", lambda data: hashlib.blake2s(data).digest()),
    ),
    48: (("sha384", lambda data: hashlib.sha384(data).digest()),),
    64: (
        ("sha512", lambda data: hashlib.sha512(data).digest()),
        ("blake2b", lambda data: hashlib.blake2b(data).digest()),
    ),
}
"""By the length of a sum in bytes."""

_OF_BASE64: Final = {24: 16, 28: 20, 44: 32, 64: 48, 88: 64}

_Piece = tuple[int, int] | bytes


@dataclass(frozen=True, slots=True)
class TextGuard:
    """A sum in a text.

    Attributes:
        algorithm: its name.
        at: the offset of its first character.
        size: its characters.
        pieces: the bytes that are summed up: begin and end in the text, or bytes that stand for it.
    """

    algorithm: str
    at: int
    size: int
    pieces: tuple[_Piece, ...]

    def of(self, text: bytes | bytearray) -> bytes:
        """The right sum of a text, spelled as the guard's."""
        sums = dict(_SUMS[_bytes_of(self.size, self._is_hex(text))])
        digest = sums[self.algorithm](_joined(text, self.pieces))
        return _spelled(digest, bytes(text[self.at : self.at + self.size]))

    def _is_hex(self, text: bytes | bytearray) -> bool:
        return _is_hex(bytes(text[self.at : self.at + self.size]))


def may_be_guarded(text: bytes) -> bool:
    """Whether a text may hold a signature, or a sum of itself."""
    return SIGNED.search(text) is not None or next(_tokens(text), None) is not None


class GuardProbe:
    """Tells of one text, as its bytes pass, whether it may hold a signature or a sum of itself."""

    def __init__(self) -> None:
        self._carry = b""
        self._last = b""
        self._found = False

    def more(self, data: bytes) -> None:
        """The bytes that come next."""
        if not self._found:
            text = self._carry + data
            self._found = may_be_guarded(text)
            self._carry = text[-_REACH:]
            self._last = (self._last + data)[-_RAW:]

    def guarded(self, whole: bytes | None) -> bool:
        """Whether it may, once all its bytes have passed.

        Args:
            whole: the text, if it is at hand; a sum in bytes at its end ends no line.
        """
        if self._found or self._last.endswith(b"\n"):
            return self._found
        if whole is not None:
            return tail_sum(whole) is not None
        return not (self._last.isascii() and self._last.decode().isprintable())


def find_text_guards(text: bytes, changed: Sequence[tuple[int, int]]) -> list[TextGuard]:
    """The sums in a text that are over the text itself, or over a part of it that changes.

    Args:
        text: the whole original.
        changed: begin and end of the bytes that are about to change, in order.
    """
    if len(text) > LIMIT:
        return []
    tokens: list[tuple[int, int]] = []
    for token in _tokens(text):
        if len(tokens) == _MOST:
            break
        tokens.append(token)
    parts = list(_parts(text, changed)) if tokens else []
    return [guard for token in tokens if (guard := _guard(text, *token, parts)) is not None]


def _tokens(text: bytes) -> Iterator[tuple[int, int]]:
    """Begin and end of each token that may be a sum."""
    edges: tuple[int, int] | None = None
    for match in _TOKEN.finditer(text):
        if match.end() - match.start() == _WORD:
            if edges is None:
                edges = _edges(text)
            if edges[0] <= match.start() < edges[1]:
                continue
        yield match.span()


def _edges(text: bytes) -> tuple[int, int]:
    """The offsets between the first lines and the last ones."""
    begin, end = 0, len(text) - 1
    for _ in range(_EDGE):
        at = text.find(b"\n", begin)
        begin = len(text) if at < 0 else at + 1
        end = max(text.rfind(b"\n", 0, max(end, 0)), 0)
    return begin, end


def _guard(text: bytes, start: int, end: int, parts: Sequence[tuple[int, int]]) -> TextGuard | None:
    token = text[start:end]
    sums = _SUMS.get(_bytes_of(len(token), _is_hex(token)), ())
    line = text.rfind(b"\n", 0, start) + 1
    behind = text.find(b"\n", end) + 1 or len(text)
    whole = len(text)
    ranges: list[tuple[_Piece, ...]] = [
        ((0, line),),
        ((behind, whole),),
        ((0, line), (behind, whole)),
        ((0, start),),
        ((end, whole),),
        ((0, start), (end, whole)),
        ((0, start), b"0" * len(token), (end, whole)),
        ((0, start), b" " * len(token), (end, whole)),
        ((0, max(line - 1, 0)),),
        *((part,) for part in parts if not part[0] <= start < part[1]),
    ]
    for pieces in ranges:
        summed = _joined(text, pieces)
        if not summed:
            continue
        for algorithm, sum_of in sums:
            if _spelled(sum_of(summed), token) == token:
                return TextGuard(algorithm, start, end - start, pieces)
    return None


def _parts(text: bytes, changed: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """The lines, the quoted strings and the elements that change."""
    seen = set()
    for begin, end in changed:
        line = text.rfind(b"\n", 0, begin) + 1
        behind = text.find(b"\n", end) + 1 or len(text)
        lines = text[line:behind]
        seen |= {(line, behind), (line, line + len(lines.rstrip(b"\r\n")))}
        for match in _QUOTED.finditer(lines):
            group = 1 if match[1] is not None else 2
            seen.add((line + match.start(group), line + match.end(group)))
    for match in _ELEMENT.finditer(text):
        seen.add(match.span(2))
    for part in sorted(seen):
        if any(part[0] < end and begin < part[1] for begin, end in changed):
            yield part


def _joined(text: bytes | bytearray, pieces: Sequence[_Piece]) -> bytes:
    return b"".join(
        piece if isinstance(piece, bytes) else bytes(text[piece[0] : piece[1]]) for piece in pieces
    )


def _is_hex(token: bytes) -> bool:
    return len(token) % 2 == 0 and re.fullmatch(rb"[0-9a-f]+|[0-9A-F]+", token) is not None


def _bytes_of(characters: int, hexadecimal: bool) -> int:
    return characters // 2 if hexadecimal else _OF_BASE64[characters]


def _spelled(digest: bytes, like: bytes) -> bytes:
    if _is_hex(like):
        digits = digest.hex().encode()
        return digits.upper() if like.upper() == like and like.lower() != like else digits
    return base64.b64encode(digest)
