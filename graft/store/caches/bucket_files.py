"""Files of a bucket, one that is read and one that is written.

A file is held here until it is whole, a long one in a temporary file without a name: an object in a
bucket is there as a whole or not at all.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Final

from graft.errors import CacheError, NoSpaceError, StoreError

_HELD: Final = 1 << 20  # bytes of a file that is not whole, in memory
WHILE_READ: Final = "it was changed or removed while it was read"
"""The fault of a file whose parts, as read, are not all of one version."""


class BucketStream:
    """A file that is read, piece by piece of one version.

    Args:
        piece: gives the bytes from a position of the version that a tag names (None: of any). It
            also gives the length of the whole file in bytes, and the version's tag; a position at
            the end of the file is asked for only if the file is empty.
        changed: makes the error that the file is another one by now.
    """

    def __init__(
        self,
        piece: Callable[[int, str | None], tuple[bytes, int, str]],
        changed: Callable[[], CacheError],
    ) -> None:
        self._piece = piece
        self._changed = changed
        self._position = 0
        self._data, self._length, self._tag = piece(0, None)
        self._left = memoryview(self._data)

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: 0 only at the end."""
        if not self._left and self._position + len(self._data) < self._length:
            self._position += len(self._data)
            self._data, length, _ = self._piece(self._position, self._tag)
            if length != self._length or not self._data:
                raise self._changed()
            self._left = memoryview(self._data)
        read = min(len(view), len(self._left))
        view[:read] = self._left[:read]
        self._left = self._left[read:]
        return read

    def close(self) -> None:
        """Forgets the bytes that were read."""
        self._left = memoryview(b"")


class NewObject:
    """A file that is written, and is not in the cache until it has a name there.

    Args:
        upload: puts a file of a size, in bytes, into the bucket under a name.
        url: how messages name the cache.
    """

    def __init__(self, upload: Callable[[IO[bytes], int, str], None], url: str) -> None:
        self._upload = upload
        self._url = url
        self._size = 0
        self._spool = tempfile.SpooledTemporaryFile(_HELD, prefix="graft-")  # noqa: SIM115

    def write(self, data: bytes | memoryview) -> None:
        """Writes all the bytes."""
        try:
            self._size += self._spool.write(data)
        except OSError as error:
            raise self._error(error) from error

    def close(self) -> None:
        """Writes no more."""
        try:
            self._spool.seek(0)
        except OSError as error:
            raise self._error(error) from error

    def publish(self, name: str) -> None:
        """Puts the file into the cache under a name, and replaces any file of that name."""
        self.close()
        self._upload(self._spool, self._size, name)
        self.discard()

    def discard(self) -> None:
        """Removes the file."""
        with suppress(OSError):  # bytes that could not be written are not needed any more
            self._spool.close()

    def _error(self, error: OSError) -> StoreError:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        reason = error.strerror or str(error)
        return (NoSpaceError if full else CacheError)(
            f"a file for the cache '{self._url}' cannot be held in '{tempfile.gettempdir()}': "
            f"{reason}; name another directory with TMPDIR",
            store=self._url,
            path=tempfile.gettempdir(),
        )
