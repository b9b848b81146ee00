"""Anchors: words of eight bytes by which longer patterns are found, many at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from graft import kernel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

WORD: Final = 8
"""Bytes of an anchor."""


class Anchors(Protocol):
    """Words that are looked for at every step of some bytes."""

    @property
    def step(self) -> int:
        """How far apart the places are that are looked at, in bytes."""
        ...

    def find(self, data: Buffer, /) -> list[tuple[int, int]]:
        """The offset and the index of every word that stands at 0, step, 2 * step and so on."""
        ...


class ReferenceAnchors:
    """The specification of the native search, in plain Python."""

    def __init__(self, words: bytes, step: int = 1) -> None:
        if len(words) % WORD or step < 1:
            raise ValueError("words have eight bytes each, and a step is positive")
        self._indices: dict[bytes, list[int]] = {}
        for at in range(0, len(words), WORD):
            self._indices.setdefault(words[at : at + WORD], []).append(at // WORD)
        self.step = step

    def find(self, data: Buffer, /) -> list[tuple[int, int]]:
        """As Anchors.find."""
        text = bytes(data)
        offsets = range(0, len(text) - WORD + 1, self.step)
        return [
            (at, index) for at in offsets for index in self._indices.get(text[at : at + WORD], ())
        ]


def make_anchors(words: Iterable[bytes], step: int = 1) -> Anchors:
    """The anchors of the kernel in use.

    Args:
        words: words of eight bytes each; all of equal words are found.
        step: how far apart, in bytes, the places are that are looked at. A pattern of n bytes is
            found if the words at its first `step` offsets are among the anchors, and n is
            `step + 7` or more.
    """
    joined = b"".join(words)
    if kernel.native is None:
        return ReferenceAnchors(joined, step)
    made: Anchors = kernel.native.Anchors(joined, step)
    return made


class Patterns:
    """Many patterns of bytes, each of seven bytes more than `step` or longer.

    Args:
        patterns: the patterns that are looked for.
        step: as for make_anchors: the larger, the faster the search, and the more memory it takes.

    Attributes:
        longest: bytes of the longest of them.
        anchors: one of them stands in all bytes in which a whole pattern does.
    """

    def __init__(self, patterns: Iterable[bytes], step: int) -> None:
        self._patterns = list(patterns)
        self._step = step
        self.longest = max(map(len, self._patterns), default=0)
        if any(len(pattern) < step + WORD - 1 for pattern in self._patterns):
            raise ValueError(f"a pattern is too short to be found at steps of {step} bytes")
        self.anchors = make_anchors(
            (pattern[at : at + WORD] for pattern in self._patterns for at in range(step)),
            step,
        )

    def find(self, data: Buffer) -> Iterator[tuple[int, int]]:
        """The offset and the index of every pattern that is whole in some bytes."""
        with memoryview(data) as view:
            for at, anchor in self.anchors.find(view):
                index, within = divmod(anchor, self._step)
                pattern = self._patterns[index]
                start = at - within
                if start >= 0 and view[start : start + len(pattern)] == pattern:
                    yield start, index
