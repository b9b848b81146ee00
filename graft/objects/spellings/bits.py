"""Hash parts in texts whose characters are packed in fewer bits than a byte has, at any bit.

A character in a string of LLVM's bitcode has 8 bits, 7 bits or 6 bits. In a record without an
abbreviation it is a number in groups of 6 bits. Source: "LLVM Bitcode File Format".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final

from graft.kernel.anchors import Patterns

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_STEP: Final = 8
_CHAR6: Final = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._"


def _numbers(character: int) -> int:
    """A character as two groups of five bits, of which the first tells that another follows."""
    return character & 31 | 32 | character >> 5 << 6


_PACKINGS: Final[Mapping[str, tuple[int, Callable[[int], int]]]] = {
    "8 bits": (8, lambda character: character),
    "7 bits": (7, lambda character: character),
    "6 bits": (6, _CHAR6.index),
    "numbers of 6 bits": (12, _numbers),
}
"""By its name: bits of a character, and their value."""


class BitFinder:
    """Finds hash parts that are packed in bits; made once and used by all threads.

    Args:
        hash_parts: hash parts of 32 characters.
    """

    def __init__(self, hash_parts: Sequence[bytes]) -> None:
        self._hash_parts = hash_parts

    def find(self, data: Buffer) -> Iterator[tuple[int, int, str]]:
        """The hash parts that are packed: first whole byte, index of the hash part, and packing.

        A hash part that stands at whole bytes is not among them: it stands in the open.
        """
        patterns, meanings = self._patterns
        for offset, index in patterns.find(data):
            yield offset, *meanings[index]

    @cached_property
    def _patterns(self) -> tuple[Patterns, list[tuple[int, str]]]:
        """All of them, made when the first file asks: most closures hold no bitcode."""
        texts: dict[bytes, tuple[int, str]] = {}
        for index, hash_part in enumerate(self._hash_parts):
            for name, (width, value) in _PACKINGS.items():
                packed = 0
                for place, character in enumerate(hash_part):
                    packed |= value(character) << width * place
                size = width * len(hash_part)
                for shift in range(1 if name == "8 bits" else 0, 8):
                    # Bits before the first whole byte and behind the last one are others'.
                    lost = -shift % 8
                    whole = (size - lost) // 8
                    bits = packed >> lost & (1 << 8 * whole) - 1
                    texts.setdefault(bits.to_bytes(whole, "little"), (index, name))
        return Patterns(texts, _STEP), list(texts.values())
