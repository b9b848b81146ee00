"""Hash parts that are spelled otherwise: base64, hexadecimal, escapes, reversed.

What an encoding leaves as it is needs none of this: a hash part has only digits and letters, so in
`%2Fnix%2Fstore%2F...`, or with its slashes escaped as JSON or C can have them, it stands whole, and
is found and rewritten like any other.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from graft.kernel.anchors import Patterns

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_STEP: Final = 16
"""The shortest spelling has 32 bytes."""

_FEW: Final = 4096
"""So many hash parts take 40 MB at that step; of more, fewer anchors are made."""


def _base64(hash_part: bytes) -> Iterator[bytes]:
    """The characters that depend on nothing but the hash part, at each of the three alignments.

    Digits and letters need neither of the two characters in which the alphabets differ.
    """
    for before in range(3):
        first = -(-before * 4 // 3)  # the character that the bytes before it share
        last = (before + len(hash_part)) * 8 // 6
        yield base64.b64encode(bytes(before) + hash_part + bytes(3))[first:last]


def _escaped(form: str) -> Callable[[bytes], Iterator[bytes]]:
    def spelled(hash_part: bytes) -> Iterator[bytes]:
        lower = "".join(form.format(byte) for byte in hash_part).encode()
        digits = form.format(0xAA)  # as format has them: lower case, if it has letters
        yield lower
        if digits != digits.upper():
            upper = form.replace("x}", "X}")
            yield "".join(upper.format(byte) for byte in hash_part).encode()

    return spelled


SPELLINGS: Final[Mapping[str, Callable[[bytes], Iterator[bytes]]]] = {
    "base64": _base64,
    "hex": _escaped("{:02x}"),
    "percent": _escaped("%{:02x}"),
    "hex-escape": _escaped("\\x{:02x}"),
    "json": _escaped("\\u{:04x}"),
    "octal": _escaped("\\{:03o}"),
    "reversed": lambda hash_part: iter([hash_part[::-1]]),
}
"""What an encoding is called, and the spellings of a hash part in it.

`base64` at the three places a hash part can have among the groups of three bytes, in the standard
and the URL alphabet; the others with all characters escaped, in digits of one case.
"""


@dataclass(frozen=True, slots=True)
class Spelled:
    """A place where a hash part stands in another spelling.

    Attributes:
        offset: of the spelling's first byte.
        size: of the spelling, bytes.
        index: of the hash part.
        encoding: a name of SPELLINGS.
    """

    offset: int
    size: int
    index: int
    encoding: str


class SpellingFinder:
    """Finds hash parts that are spelled otherwise; made once and used by all threads.

    Args:
        hash_parts: of 32 characters.

    Attributes:
        longest: bytes of the longest spelling.
        anchors: one of them stands wherever a whole spelling does.
    """

    def __init__(self, hash_parts: Iterable[bytes]) -> None:
        self._meanings: list[tuple[int, int, str]] = []
        spelled: list[bytes] = []
        hash_parts = list(hash_parts)
        for index, hash_part in enumerate(hash_parts):
            for encoding, spell in SPELLINGS.items():
                for spelling in dict.fromkeys(spell(hash_part)):
                    self._meanings.append((len(spelling), index, encoding))
                    spelled.append(spelling)
        few = len(hash_parts) <= _FEW
        self._patterns = Patterns(spelled, _STEP if few else _STEP // 4)
        self.longest = self._patterns.longest
        self.anchors = self._patterns.anchors

    def find(self, data: Buffer) -> Iterator[Spelled]:
        """Every spelling that is whole in some bytes."""
        for offset, which in self._patterns.find(data):
            yield Spelled(offset, *self._meanings[which])
