"""The parts of a binary cache: files, in a directory, on a server or in a bucket.

`BinaryCache` knows the meaning of the files; an implementation of this protocol knows their places.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

LARGEST_TEXT = 16 << 20
"""Bytes of a narinfo or a nix-cache-info; one with 100,000 references is a third of that."""


class CacheStream(Protocol):
    """A file of a cache, read from its beginning to its end."""

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: 0 only at the end.

        Raises:
            CacheError: the cache can no longer be read, or its file changed.
        """

    def close(self) -> None:
        """Closes the file; it need not be at its end."""


class CacheFiles(Protocol):
    """Files by their names, relative to the address of the cache."""

    @property
    def url(self) -> str:
        """How messages name the cache; without passwords."""

    @property
    def connections(self) -> int:
        """How many files it is sensible to read at once."""

    def read(self, name: str) -> bytes | None:
        """A small file, whole, if it is there.

        Raises:
            CacheError: the cache cannot be read, or the file has more bytes than `LARGEST_TEXT`.
        """

    def open(self, name: str) -> CacheStream:
        """A file of any size.

        Raises:
            CacheError: the cache cannot be read, or has no such file.
        """

    def names(self) -> list[str]:
        """The names of the files directly in the cache.

        Raises:
            CacheError, StorePermissionError: it cannot be listed.
        """

    def close(self) -> None:
        """Closes the open files and connections."""


class NewFile(Protocol):
    """A file that is written, and is not in the cache until it has a name there.

    Raises:
        CacheError, StorePermissionError, NoSpaceError: it cannot be written.
    """

    def write(self, data: bytes | memoryview) -> None:
        """Writes all the bytes."""

    def close(self) -> None:
        """Writes no more."""

    def publish(self, name: str) -> None:
        """Puts the file into the cache under a name at once, and replaces any file of that name."""

    def discard(self) -> None:
        """Removes the file."""


@runtime_checkable
class WritableFiles(CacheFiles, Protocol):
    """Files of a cache that can be written."""

    def size(self, name: str) -> int | None:
        """The length of a file in bytes, if it is there.

        Raises:
            CacheError, StorePermissionError: it cannot be read.
        """

    def check_writable(self) -> None:
        """Raises StorePermissionError if this user may not write, where that is known."""

    def free_bytes(self) -> int | None:
        """The room left for this user, in bytes; not known for every cache."""

    def create(self) -> NewFile:
        """A file to be written, whose name is told when it is whole.

        Raises:
            CacheError, StorePermissionError, NoSpaceError: nothing can be written there.
        """

    def sync(self) -> None:
        """Waits until all written files are durable.

        Raises:
            CacheError, NoSpaceError: it could not be written after all.
        """
