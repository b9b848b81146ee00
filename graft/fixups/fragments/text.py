"""A store path as compilers cut it up: which part of it a piece of its text is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

HASH_LENGTH: Final = 32
WINDOW: Final = 4
"""How many characters in a row are no chance."""


@dataclass(frozen=True, slots=True)
class Part:
    """Where a piece of text belongs in a store path.

    Attributes:
        at: of the piece's first byte, from the hash part's first character on; may be negative.
        size: of the piece, bytes.
        known: how many of its bytes in a row are the path's: the hash part's, and those beside it.
        bare: it shows that the path's name does not follow the hash part.
    """

    at: int
    size: int
    known: int
    bare: bool


@dataclass(frozen=True)
class PathText:
    """The text of an old store path, and its replacement.

    Args:
        base: the old base name or hash part.
        new: the new one, of equal length; None if the old one is only looked for.
        store_dir: what may stand before it, with a slash at its end.

    Attributes:
        needed: the positions, from the hash part's first character on, that are rewritten where
            the name follows: those of the hash part, and where the names differ.
    """

    base: bytes
    new: bytes | None
    store_dir: bytes
    needed: frozenset[int] = field(init=False)
    _windows: dict[bytes, list[int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        windows: dict[bytes, list[int]] = {}
        before = len(self.store_dir)
        for text in (
            self.store_dir + self.base + b"\0",
            self.store_dir + self.base[:HASH_LENGTH] + b"\0",
        ):
            for at in range(len(text) - WINDOW + 1):
                places = windows.setdefault(text[at : at + WINDOW], [])
                if at - before not in places:
                    places.append(at - before)
        object.__setattr__(self, "_windows", windows)
        new = self.new or self.base
        differing = (at for at in range(len(self.base)) if self.base[at] != new[at])
        object.__setattr__(self, "needed", frozenset({*range(HASH_LENGTH), *differing}))

    @property
    def renamed(self) -> bool:
        """Whether the new path has another name."""
        return len(self.needed) > HASH_LENGTH

    @property
    def hash_part(self) -> bytes:
        """The old 32 characters."""
        return self.base[:HASH_LENGTH]

    def part(self, piece: bytes) -> Part | None:
        """The part of the path that a piece is; None if it holds nothing of the hash part.

        Args:
            piece: all bytes of an immediate or a constant: what is not the hash part's must be
                before its first or after its last character.
        """
        for inside in range(len(piece) - WINDOW + 1):
            for place in self._windows.get(piece[inside : inside + WINDOW], ()):
                found = self._placed(piece, place - inside)
                if found is not None and found.known >= WINDOW:
                    return found
        return None

    def name_part(self, piece: bytes) -> Part | None:
        """Which part of the path's name a piece is that holds nothing of the hash part.

        What is not the name's must be after its last character.
        """
        for place in self._windows.get(piece[:WINDOW], ()):
            same = self.base[place : place + len(piece)] if place >= HASH_LENGTH else b""
            if same and piece.startswith(same):
                return Part(place, len(piece), len(same), bare=False)
        return None

    def end_part(self, piece: bytes, suffixes: Iterable[bytes]) -> Part | None:
        """Which part a piece is that holds no more than the last few characters of the name.

        Args:
            suffixes: what is known to follow the name. What follows it in the piece must be that.
        """
        for size in range(WINDOW - 1, 0, -1):
            rest = piece[size:]
            for suffix in suffixes if piece.startswith(self.base[-size:]) else ():
                same = min(len(rest), len(suffix))
                if same and rest[:same] == suffix[:same]:
                    return Part(len(self.base) - size, len(piece), size + same, bare=False)
        return None

    def windows_in(self, code: bytes, end: int) -> list[int]:
        """Where four bytes of the path's text stand that must be rewritten with it.

        Args:
            end: of the code; those that begin before it.
        """
        found = []
        for at in range(max(0, min(end, len(code) - WINDOW + 1))):
            places = self._windows.get(code[at : at + WINDOW], ())
            if any(not self.needed.isdisjoint(range(at, at + WINDOW)) for at in places):
                found.append(at)
        return found

    def replaced(self, part: Part, piece: bytes) -> bytes:
        """The piece with NEW's characters in place of OLD's."""
        assert self.new is not None
        result = bytearray(piece)
        end = HASH_LENGTH if part.bare else len(self.base)
        for place in range(max(0, part.at), min(end, part.at + part.size)):
            at = place - part.at
            if piece[at] == self.base[place]:
                result[at] = self.new[place]
        return bytes(result)

    @cached_property
    def tails(self) -> tuple[re.Pattern[bytes], ...]:
        """The beginnings of pieces that hold no more than the last characters of the name.

        None if those stay as they are.
        """
        return tuple(
            re.compile(rb"%s(?![0-9A-Za-z+._?=-])" % re.escape(self.base[-size:]))
            for size in range(1, WINDOW)
            if not self.needed.isdisjoint(range(len(self.base) - size, len(self.base)))
            and len(self.base) > HASH_LENGTH + size
        )

    def covered(self, part: Part) -> range:
        """The positions of hash part and name that a piece holds."""
        end = HASH_LENGTH if part.bare else len(self.base)
        return range(max(0, part.at), min(end, part.at + part.size))

    def _placed(self, piece: bytes, at: int) -> Part | None:
        """The part a piece is if its first byte is at this place; None if a character differs."""
        first, last = max(0, -at), min(len(piece), HASH_LENGTH - at)
        if first >= last or piece[first:last] != self.base[at + first : at + last]:
            return None
        known = last - first
        before = self.store_dir[max(0, len(self.store_dir) - first) :]
        for mine, theirs in zip(reversed(piece[:first]), reversed(before), strict=False):
            if mine != theirs:
                break
            known += 1
        after = piece[last:]
        name = self.base[HASH_LENGTH:]
        same = 0
        for mine, theirs in zip(after, name, strict=False):
            if mine != theirs:
                break
            same += 1
        bare = bool(after) and same < min(len(after), len(name))
        if same in {0, len(name)} and after[same : same + 1] == b"\0":
            same += 1  # the text ends here
        return Part(at, len(piece), known + same, bare)
