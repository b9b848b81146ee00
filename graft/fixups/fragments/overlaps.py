"""Bytes that may be a path's once more, at an address that cannot be told from the path's.

The last bytes of a text are often taken by a load that overlaps the one before. A jump to a
computed address between the two loses the address. Nothing ties the last bytes to their path then,
and they hold too little of its hash part to be found alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from graft.fixups.fragments.effects import Terms, Written
from graft.fixups.fragments.text import PathText
from graft.fixups.fragments.values import Origin

_MOVED: Final = 4
"""So many bytes are taken for a path's at any distance; fewer are often alike."""


class Spelling(NamedTuple):
    """A path that code spells.

    Attributes:
        entry: which path.
        path: its text.
        compared: whether memory is compared with it; else it is stored.
        terms: the terms of the address at which it is spelled.
        place: the rest of the address.
        text: the known bytes around it, by the rest of their addresses.
    """

    entry: int
    path: PathText
    compared: bool
    terms: Terms
    place: int
    text: dict[int, int]


class Piece(NamedTuple):
    """Bytes that one instruction stores or compares, and where each is in the file."""

    terms: Terms
    place: int
    text: bytes
    offsets: tuple[int, ...]


def pieces(group: Iterable[Written]) -> Iterator[Piece]:
    """The bytes that each instruction stores or compares in a row."""
    held: list[Origin] = []
    terms: Terms = ()
    start = 0
    for each in group:
        for place, byte in enumerate(each.bytes, each.number):
            follows = (
                held
                and isinstance(byte, Origin)
                and each.terms == terms
                and place == start + len(held)
                and byte.load == held[0].load
            )
            if held and not follows:
                yield _piece(terms, start, held)
                held = []
            if isinstance(byte, Origin):
                if not held:
                    terms, start = each.terms, place
                held.append(byte)
    if held:
        yield _piece(terms, start, held)


def _piece(terms: Terms, place: int, held: list[Origin]) -> Piece:
    return Piece(
        terms, place, bytes(each.value for each in held), tuple(each.offset for each in held)
    )


def doubtful(spelling: Spelling, piece: Piece) -> Iterator[tuple[int, int]]:
    """The bytes of a piece at another address that may be the spelled path's.

    Yields:
        Where each is in the file, and which character of the path it may be; only characters that
        change.
    """
    if piece.terms == spelling.terms:
        return
    size, path = len(piece.text), spelling.path
    shifts: Iterable[int] = (piece.place - spelling.place,)
    if size >= _MOVED:
        shifts = range(1 - size, path.last + 1)
    for shift in shifts:
        first, end = max(shift, 0), min(shift + size, path.last + 1)
        if path.base[first:end] != piece.text[first - shift : end - shift]:
            continue
        changed = [at for at in range(first, end) if path.changes(at)]
        known = (spelling.text.get(spelling.place + at) for at in range(shift, shift + size))
        if changed and all(a in {None, b} for a, b in zip(known, piece.text, strict=True)):
            yield from ((piece.offsets[at - shift], at) for at in changed)
