"""Anchors: words of eight bytes by which longer patterns are found, many at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol

from graft import kernel

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

WORD: Final = 8
"""Bytes of an anchor."""


class Anchors(Protocol):
    """Words that are looked for at every step of some bytes."""

    def find(self, data: Buffer, /) -> list[tuple[int, int]]:
        """The offset and the index of every word that stands at 0, step, 2 * step and so on."""
        ...


class ReferenceAnchors:
    """The specification: what the native one finds, in plain Python."""

    def __init__(self, words: bytes, step: int = 1) -> None:
        if len(words) % WORD or step < 1:
            raise ValueError("words have eight bytes each, and a step is positive")
        self._indices = {words[at : at + WORD]: at // WORD for at in range(0, len(words), WORD)}
        self._step = step

    def find(self, data: Buffer, /) -> list[tuple[int, int]]:
        """As Anchors.find."""
        text = bytes(data)
        wanted = self._indices
        offsets = range(0, len(text) - WORD + 1, self._step)
        return [
            (at, wanted[word]) for at in offsets if (word := text[at : at + WORD]) in wanted
        ]


def make_anchors(words: Iterable[bytes], step: int = 1) -> Anchors:
    """The anchors of the kernel in use.

    Args:
        words: of eight bytes each; of equal ones the last is found.
        step: how far apart, in bytes, the places are that are looked at. A pattern of n bytes is
            found if the words at its first `step` offsets are among the anchors, and n is
            `step + 7` or more.
    """
    joined = b"".join(words)
    if kernel.native is None:
        return ReferenceAnchors(joined, step)
    made: Anchors = kernel.native.Anchors(joined, step)
    return made
