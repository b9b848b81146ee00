"""The search for hash parts that are spelled otherwise, in all forms at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graft.kernel import Table
from graft.kernel.anchors import WORD, make_anchors
from graft.objects.spellings.forms import FORMS
from graft.objects.spellings.whole import FRONT_CODED, WholeText, whole_texts

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_STEP: Final = 9
"""A hash part that is broken once has one piece of 16 characters, in which there are nine words."""

_REACH: Final = 1024
"""Bytes of a spelling with all that stands between its parts: 32 lines of 32."""

_CONTEXT: Final = 64
"""Bytes around a spelling by which it is read, enough for a group of digits and a break."""

_NARROW: Final = 32
"""Characters of a hash part; no column that is looked for is narrower than half of them."""

_LAYERS: Final = 3
"""So many times a text in base64 may hold another."""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A place where a hash part stands in another spelling.

    Attributes:
        offset: the offset of the spelling's first byte.
        size: the spelling's size in bytes.
        index: the index of the hash part.
        encoding: the name of a form.
    """

    offset: int
    size: int
    index: int
    encoding: str

    def overlaps(self, other: Spelled) -> bool:
        """Whether another spelling of the same hash part stands at some of its bytes."""
        return (
            other is not self
            and other.index == self.index
            and self.offset < other.offset + other.size
            and other.offset < self.offset + self.size
        )


class SpellingFinder:
    """Finds hash parts that are spelled otherwise; made once and used by all threads.

    Args:
        hash_parts: hash parts of 32 characters.

    Attributes:
        longest: bytes in which any spelling can be read.
        anchors: one of them stands wherever a whole spelling does.
    """

    def __init__(self, hash_parts: Iterable[bytes]) -> None:
        parts = list(hash_parts)
        self._table = Table([(hash_part, None) for hash_part in parts])
        forms: dict[bytes, int] = {}  # the forms of each word, as bits
        for hash_part in parts:
            for bit, form in enumerate(FORMS):
                for text in form.texts(hash_part):
                    for word in _words(text):
                        forms[word] = forms.get(word, 0) | 1 << bit
        # By its word: a text without breaks, the word's place in it, and the hash part's index.
        whole: dict[bytes, list[tuple[WholeText, int, int]]] = {}
        for index, hash_part in enumerate(parts):
            for each in whole_texts(hash_part):
                for place in range(_STEP):
                    word = each.text[place : place + WORD]
                    whole.setdefault(word, []).append((each, place, index))
                    forms.setdefault(word, 0)
        self._forms = tuple(forms.values())
        self._whole = {number: whole[word] for number, word in enumerate(forms) if word in whole}
        self.longest = _REACH + _CONTEXT
        self.anchors = make_anchors(forms, _STEP)

    def find(self, data: Buffer) -> Iterator[Spelled]:
        """Every spelling that is whole in some bytes, in order."""
        with memoryview(data) as view:
            found = set(self._find(view, _LAYERS))
        # The end of a hash part that is broken elsewhere is no find of its own.
        for each in sorted(found, key=lambda each: each.offset):
            if each.encoding != FRONT_CODED or not any(map(each.overlaps, found)):
                yield each

    def _find(self, view: memoryview, layers: int) -> Iterator[Spelled]:
        windows: dict[int, list[list[int]]] = {}  # for the forms seen, where they may stand
        for at, which in self.anchors.find(view):
            bits = self._forms[which]
            for text, place, index in self._whole.get(which, ()):
                if _stands(view, at - place, text):
                    yield Spelled(at - place, len(text.text), index, text.name)
            while bits:
                low = bits & -bits
                bits ^= low
                spans = windows.setdefault(low.bit_length() - 1, [])
                if spans and at - self.longest <= spans[-1][1]:
                    spans[-1][1] = at + self.longest
                else:
                    spans.append([max(at - self.longest, 0), at + self.longest])
        for form, spans in windows.items():
            for start, end in spans:
                yield from self._read(form, start, bytes(view[start:end]), layers)

    def _read(self, which: int, base: int, window: bytes, layers: int) -> Iterator[Spelled]:
        form = FORMS[which]

        def lookup(text: bytes) -> Iterator[tuple[int, int, int]]:
            for hit in self._table.find(text)[0]:
                yield hit.offset, hit.offset + 31 * hit.stride + 1, hit.index
            if form.name == "base64" and layers > 1:
                for inner in self._find(memoryview(text), layers - 1):
                    yield inner.offset, inner.offset + inner.size, inner.index

        for found in form.find(window, lookup):
            if found.end - found.start <= _REACH:
                yield Spelled(base + found.start, found.end - found.start, found.which, form.name)


def _stands(view: memoryview, at: int, whole: WholeText) -> bool:
    """Whether a text stands at an offset, and no bytes before it that would make it another."""
    if at < 0 or view[at : at + len(whole.text)] != whole.text:
        return False
    absent = whole.absent
    return not absent or at < len(absent) or view[at - len(absent) : at] != absent


def _words(text: bytes) -> Iterator[bytes]:
    """The words, one of which the walk meets at any offset of a text, even of a broken one.

    A piece of `_STEP + 7` bytes has as many words as a step has bytes. Pieces are at both ends of a
    text, for a break is in one of them at most; and in the middle of a text that may have several
    breaks.
    """
    last = max(len(text) - _STEP - WORD + 1, 0)
    pieces = 5 if len(text) >= 3 * _NARROW else 3
    if _NARROW < len(text) < 2 * _NARROW:
        pieces = 2
    for first in sorted({last * piece // (pieces - 1) for piece in range(pieces)}):
        for at in range(first, min(first + _STEP, len(text) - WORD + 1)):
            yield text[at : at + WORD]
