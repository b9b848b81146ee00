"""The texts that a function's stores and comparisons spell, and the bytes of the file in them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from graft.fixups.fragments.effects import Effects, Written
from graft.fixups.fragments.overlaps import Spelling, doubtful, pieces
from graft.fixups.fragments.text import HASH_LENGTH, PathText
from graft.fixups.fragments.values import NOWHERE, Origin, origins

Role = tuple[int, int] | None
"""The entry whose path a byte is of, and which character; None: it is of another text."""

_Image = dict[int, Origin]
_DOUBT: Final = "the end of it may be used once more, at an address that is not known"


class Roles:
    """The uses of a file's bytes, as far as the followed code uses them.

    Args:
        texts: the paths that may be spelled, by their entries.

    Attributes:
        of: all roles of a byte, by its offset in the file.
        lost: the offsets of bytes whose further use is not known.
        starts: where the first byte is that was taken together with one.
        faults: for entries: why a path that the code spells cannot be changed, and where.
    """

    def __init__(self, texts: dict[int, PathText]) -> None:
        self._texts = texts
        self._indices = {path.hash_part: index for index, path in texts.items()}
        self.of: dict[int, set[Role]] = defaultdict(set)
        self.lost: set[int] = set()
        self.starts: dict[int, int] = {}
        self.faults: list[tuple[int, int, str]] = []

    def add(self, effects: Effects, wanted: Callable[[int], bool]) -> set[int]:
        """Takes the effects of a function.

        Args:
            wanted: whether a byte of the file belongs to a path, by its offset.

        Returns:
            The offsets of the bytes that spell paths.
        """
        for taken in effects.loads.values():
            first = min(taken)
            for offset in taken:
                self.starts[offset] = min(first, self.starts.get(offset, first))
        used = {(origin.load, origin.offset) for origin in effects.lost}
        self.lost.update(origin.offset for origin in effects.lost)
        spelled: set[int] = set()
        spellings: list[Spelling] = []
        for group in (*effects.stores, effects.comparisons):
            for written in _by_address(group).values():
                sources = {origin for each in written for origin in origins(each.bytes)}
                used.update((origin.load, origin.offset) for origin in sources)
                if any(wanted(origin.offset) for origin in sources):
                    spelled |= self._take(written, group is effects.comparisons, spellings)
                else:
                    for origin in sources:
                        self.of[origin.offset].add(None)
        # Each byte of a load for itself: an instruction that is known in part uses some of them.
        for at, taken in effects.loads.items():
            self.lost.update(offset for offset in taken if (at, offset) not in used)
        if spellings:
            self._doubt(spellings, effects)
        return spelled

    def _doubt(self, spellings: list[Spelling], effects: Effects) -> None:
        """Looks for bytes without a role that may be a part of a spelled path once more."""
        compared = list(pieces(effects.comparisons))
        stored = [piece for group in effects.stores for piece in pieces(group)]
        for spelling in spellings:
            for piece in compared if spelling.compared else stored:
                for offset, at in doubtful(spelling, piece):
                    if (spelling.entry, at) not in self.of.get(offset, ()):
                        self.faults.append((spelling.entry, max(offset, 0), _DOUBT))

    def _take(self, written: list[Written], compared: bool, spellings: list[Spelling]) -> set[int]:
        image, counts = _compared(written) if compared else _stored(written)
        values = {place: byte.value for place, byte in image.items()}
        roles: dict[int, Role] = {}
        spelled: set[int] = set()
        for start, text in _texts(image):
            for at in range(len(text) - HASH_LENGTH + 1):
                index = self._indices.get(text[at : at + HASH_LENGTH])
                if index is None:
                    continue
                places = range(start + at, start + at + _size(text, at, self._texts[index]))
                fault = _fault(image, counts, places, self._texts[index])
                if fault:
                    hash_part = range(start + at, start + at + HASH_LENGTH)
                    self.faults.append((index, _offset(image, hash_part), fault))
                else:
                    where = written[0].terms, start + at
                    spellings.append(Spelling(index, self._texts[index], compared, *where, values))
                for position, place in enumerate(places if not fault else ()):
                    roles[place] = index, position
                    spelled.add(image[place].offset)
        spelled.discard(NOWHERE)
        for each in written:
            for place, byte in enumerate(each.bytes, each.number):
                if not isinstance(byte, Origin):
                    self.lost.update(origin.offset for origin in origins((byte,)))
                    continue
                final = image.get(place)
                if byte.offset == NOWHERE:
                    continue
                agrees = final is not None and final.value == byte.value
                self.of[byte.offset].add(roles.get(place) if agrees else None)
        return spelled


def _by_address(group: Iterable[Written]) -> dict[object, list[Written]]:
    found: dict[object, list[Written]] = {}
    for each in group:
        found.setdefault(each.terms, []).append(each)
    return found


def _stored(written: Iterable[Written]) -> tuple[_Image, dict[int, int]]:
    """Memory after some stores."""
    image: _Image = {}
    for each in written:
        for place, byte in enumerate(each.bytes, each.number):
            if isinstance(byte, Origin):
                image[place] = byte
            else:
                image.pop(place, None)
    return image, {}


def _compared(written: Iterable[Written]) -> tuple[_Image, dict[int, int]]:
    """The bytes that memory is compared with, where they are the same; and the number of
    comparisons.
    """
    image: _Image = {}
    counts: dict[int, int] = {}
    several: set[int] = set()
    for each in written:
        for place, byte in enumerate(each.bytes, each.number):
            counts[place] = counts.get(place, 0) + 1
            if isinstance(byte, Origin):
                before = image.setdefault(place, byte)
                if before.value != byte.value:
                    several.add(place)
    return {place: byte for place, byte in image.items() if place not in several}, counts


def _texts(image: _Image) -> Iterator[tuple[int, bytes]]:
    """The bytes that follow each other, and where the first of them is."""
    start, text = 0, bytearray()
    for place in sorted(image):
        if place != start + len(text):
            if len(text) >= HASH_LENGTH:
                yield start, bytes(text)
            start, text = place, bytearray()
        text.append(image[place].value)
    if len(text) >= HASH_LENGTH:
        yield start, bytes(text)


def _size(text: bytes, at: int, path: PathText) -> int:
    """How many characters are to change together; 0 if the name is to change, and not there."""
    if not path.renamed:
        return HASH_LENGTH
    return len(path.base) if text.startswith(path.base, at) else 0


def _fault(image: _Image, counts: dict[int, int], places: range, path: PathText) -> str:
    if not places:
        return "its name does not follow it unchanged"
    changed = [place for at, place in enumerate(places) if path.changes(at)]
    if any(image[place].offset < 0 for place in changed):
        return "a part of it is among other bits of an instruction"
    most = max(counts.get(place, 0) for place in places[:HASH_LENGTH])
    if any(counts.get(place, 0) > most for place in changed):
        return "a part of its name is compared more often than the rest"
    return ""


def _offset(image: _Image, places: range) -> int:
    return min((o for at in places if (o := image[at].offset) >= 0), default=0)
