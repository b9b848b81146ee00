"""The marks of the regular files that a walk is to report."""

from __future__ import annotations

from typing import Final, NamedTuple

HEAD: Final = 2048
"""Bytes of a file in which its magics are."""


class Marks(NamedTuple):
    """Files are reported that have one of these.

    Attributes:
        magics: (offset, bytes) of the bytes that they have within their first `HEAD` bytes.
        suffixes: the ends of their names.
        names: their whole names.
    """

    magics: tuple[tuple[int, bytes], ...] = ()
    suffixes: tuple[bytes, ...] = ()
    names: tuple[bytes, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether every magic is of some bytes, and in the head."""
        return all(
            offset >= 0 and magic and offset + len(magic) <= HEAD for offset, magic in self.magics
        )

    @property
    def head(self) -> int:
        """As many bytes hold all of the magics."""
        return max((offset + len(magic) for offset, magic in self.magics), default=0)

    def has(self, name: bytes) -> bool:
        """Whether a name is one of theirs."""
        return name in self.names or name.endswith(self.suffixes)

    def begins(self, head: bytes) -> bool:
        """Whether a file that begins with that is one of theirs."""
        return any(head.startswith(magic, offset) for offset, magic in self.magics)
