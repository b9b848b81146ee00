"""What a binary cache is made of: files, wherever they are.

`BinaryCache` knows what the files mean; whoever keeps this protocol knows where they are.
"""

from __future__ import annotations

from typing import Protocol

LARGEST_TEXT = 16 << 20
"""Bytes of a narinfo or a nix-cache-info; one with 100,000 references is a third of that."""


class CacheStream(Protocol):
    """A file of a cache, read from its beginning to its end."""

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: none only at the end.

        Raises:
            CacheError: the cache can no longer be read, or its file changed.
        """

    def close(self) -> None:
        """Gives back what is open; the file need not be at its end."""


class CacheFiles(Protocol):
    """Files by their names, relative to the address of the cache."""

    @property
    def url(self) -> str:
        """How messages name the cache; without passwords."""

    @property
    def connections(self) -> int:
        """How many files it is sensible to read at once."""

    def read(self, name: str) -> bytes | None:
        """A small file, whole; None if there is no such file.

        Raises:
            CacheError: the cache cannot be read, or the file has more bytes than `LARGEST_TEXT`.
        """

    def open(self, name: str) -> CacheStream:
        """A file of any size.

        Raises:
            CacheError: the cache cannot be read, or has no such file.
        """

    def close(self) -> None:
        """Gives back what is open."""
