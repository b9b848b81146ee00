"""Forms of spelling: bytes that look like a form are read back into the text they spell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

Lookup = Callable[[bytes], Iterable[tuple[int, int, int]]]
"""For each hash part in a text: offset of its first byte, offset after its last, its index."""


class Found(NamedTuple):
    """A hash part in a reading.

    Attributes:
        start: offset of the first byte that it alone decides, in the window.
        end: offset after the last one.
        which: the index of the hash part.
    """

    start: int
    end: int
    which: int


class Form(Protocol):
    """A form of spelling.

    It has two sides. Its texts are whole spellings, from which the words of a walk are taken. Its
    readings turn bytes of the form back into the bytes they spell, over line ends, joins of strings
    and separators; a hash part is there only if the reading holds it.
    """

    @property
    def name(self) -> str:
        """As the encoding of a place is called."""

    def texts(self, hash_part: bytes) -> Iterable[bytes]:
        """Whole spellings of a hash part, of 16 bytes and more, without a break."""

    def find(self, window: bytes, lookup: Lookup) -> Iterator[Found]:
        """The hash parts that are spelled so in some bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """A form whose digits stand one after another, broken anywhere.

    Attributes:
        name: as a Form's.
        spell: makes its texts.
        alphabet: the digits, as a set of a regular expression.
        between: the possible breaks, as a regular expression; it begins with no digit.
        group: digits that belong together.
        size: bytes that such a group spells.
        zero: the digit that spells no bit.
        decode: decodes digits; the text's length is not to be relied on.
        least: digits of the shortest spelling.
        is_broken: only spellings with a break are meant.
        is_backward: the digits stand in reverse.
    """

    name: str
    spell: Callable[[bytes], Iterable[bytes]]
    alphabet: bytes
    between: bytes
    group: int = 1
    size: int = 1
    zero: bytes = b"A"
    decode: Callable[[bytes], bytes] = bytes
    least: int = 32
    is_broken: bool = False
    is_backward: bool = False

    def texts(self, hash_part: bytes) -> Iterable[bytes]:
        """As a Form's."""
        return self.spell(hash_part)

    def find(self, window: bytes, lookup: Lookup) -> Iterator[Found]:
        """As a Form's."""
        run, piece = _patterns(self.alphabet, self.between)
        for match in run.finditer(window):
            if match.end() - match.start() < self.least:
                continue
            spans = (each.span(1) for each in piece.finditer(window, *match.span()))
            pieces = [(start, end) for start, end in spans if start < end]
            digits = b"".join(window[start:end] for start, end in pieces)
            if len(digits) >= self.least and not (self.is_broken and len(pieces) == 1):
                yield from self._read(digits, pieces, lookup)

    def _read(
        self, digits: bytes, pieces: list[tuple[int, int]], lookup: Lookup
    ) -> Iterator[Found]:
        for shift in range(self.group):
            # A run may begin within a group: behind a sign of the alphabet that is no letter.
            text = self.decode(self.zero * shift + digits)
            for begin, after, which in lookup(text[::-1] if self.is_backward else text):
                first, last = begin, after
                if self.is_backward:
                    first, last = len(text) - after, len(text) - begin
                # Among digits that spell a part of two bytes, only the hash part's own count.
                start = _place(pieces, max(-(-first * self.group // self.size) - shift, 0))
                end = _place(pieces, last * self.group // self.size - 1 - shift) + 1
                if not self.is_broken or end - start > last - first:
                    yield Found(start, end, which)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A form that has a token of its own for each byte.

    Attributes:
        name: as a Form's.
        spell: give the token of a byte, one for each variant.
        token: matches one, as a regular expression; the group that matches tells the byte.
        between: the possible texts between two tokens, as a regular expression.
        read: makes a byte of the match.
    """

    name: str
    spell: tuple[Callable[[int], str], ...]
    token: bytes
    between: bytes
    read: Callable[[re.Match[bytes]], int]

    def texts(self, hash_part: bytes) -> Iterable[bytes]:
        """As a Form's."""
        return dict.fromkeys("".join(map(spell, hash_part)).encode() for spell in self.spell)

    def find(self, window: bytes, lookup: Lookup) -> Iterator[Found]:
        """As a Form's."""
        run, token = _token_patterns(self.token, self.between)
        for match in run.finditer(window):
            tokens = list(token.finditer(window, *match.span()))
            for first, last, which in lookup(bytes(map(self.read, tokens))):
                yield Found(tokens[first].start(), tokens[last - 1].end(), which)


_MADE: dict[tuple[bytes, bytes], tuple[re.Pattern[bytes], re.Pattern[bytes]]] = {}


def _patterns(alphabet: bytes, between: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A run of digits and breaks; and, in it, digits as a group, or a break."""
    made = _MADE.get((alphabet, between))
    if made is None:
        run = re.compile(rb"[%b]++(?:(?:%b)[%b]++)*+" % (alphabet, between, alphabet))
        # A break that can be read in two ways is read as a run takes it: the first that digits
        # follow.
        piece = re.compile(rb"([%b]++)|(?:%b)(?=[%b])()" % (alphabet, between, alphabet))
        made = _MADE[alphabet, between] = run, piece
    return made


def _token_patterns(token: bytes, between: bytes) -> tuple[re.Pattern[bytes], re.Pattern[bytes]]:
    """A run of 32 tokens and more; and one token, with the filler before the next."""
    made = _MADE.get((token, between))
    if made is None:
        bare = re.sub(rb"(?<!\\)\((?!\?)", b"(?:", token)
        run = re.compile(rb"(?:(?:%b)(?:(?:%b)(?=%b))?+){32,}+" % (bare, between, bare))
        made = _MADE[token, between] = run, re.compile(token)
    return made


def _place(pieces: list[tuple[int, int]], digit: int) -> int:
    """Where a digit of pieces stands."""
    for start, end in pieces:
        if digit < end - start:
            return start + digit
        digit -= end - start
    raise IndexError(digit)
