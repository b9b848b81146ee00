"""NARs in the files of a binary cache, streamed: read and checked, or compressed and named.

Nothing here holds more of a NAR than a piece. So a NAR can be read from a cache, rewritten in a
`Window` and written to another cache, without ever lying unpacked on a disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError, CorruptCacheError
from graft.formats.compression import CompressingWriter, DecompressingReader, unreadable
from graft.formats.compression_levels import SUFFIXES
from graft.formats.content_address import ContentAddress
from graft.formats.hashing import nix32_encode
from graft.formats.narinfo import NarInfo
from graft.store.api import PathInfo
from graft.store.caches.files import CacheStream, WritableFiles

_OVERHEAD: Final = 1 << 20  # bytes by which a file may be longer than incompressible contents


class NarReader:
    """The NAR of a path, decompressed.

    The data is trusted only when all of it was read: sizes and hashes are known at the end.

    Args:
        stream: the file; it is closed with the reader.
        info: the promise of the cache.
        url: how messages name the cache.
        on_file: called with each piece of the compressed file.

    Raises:
        BadFormatError: the file's compression cannot be read.
    """

    def __init__(
        self,
        stream: CacheStream,
        info: NarInfo,
        url: str,
        on_file: Callable[[memoryview], object] | None = None,
    ) -> None:
        self._stream = stream
        self._info = info
        self._url = url
        readinto = stream.readinto if on_file is None else _told(stream.readinto, on_file)
        said = (info.compression, info.file_hash, info.file_size)
        if said != ("none", info.nar_hash, info.nar_size):  # else both are one stream
            # A cache that does not say how long the file is may send it without end.
            file_size = info.nar_size + info.nar_size // 8 + _OVERHEAD
            readinto = _Checked(
                readinto,
                f"the file '{info.url}'",
                longest=file_size if info.file_size is None else info.file_size,
                exact=info.file_size is not None,
                digest=info.file_hash,
            ).readinto
        self._nar = _Checked(
            DecompressingReader(readinto, info.compression, limit=info.nar_size).readinto,
            f"the nar in '{info.url}'",
            longest=info.nar_size,
            exact=True,
            digest=info.nar_hash,
        )

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: 0 only at the end.

        Raises:
            CorruptCacheError: the file or the NAR differs from the cache's promise.
            CacheError: the cache can no longer be read, or its file changed.
        """
        try:
            return self._nar.readinto(view)
        except BadFormatError as error:
            path = self._info.path
            raise CorruptCacheError(
                f"the cache '{self._url}' has another '{path}' than it says: "
                f"'{self._info.url}' is damaged: {error.message}",
                store=self._url,
                path=path,
            ) from error
        except _PromiseError as error:
            path = self._info.path
            raise CorruptCacheError(
                f"the cache '{self._url}' has another '{path}' than it says: {error}",
                store=self._url,
                path=path,
            ) from error

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class NarFile:
    """A NAR that was written into a cache; the fields are the same as in `NarInfo`."""

    url: str
    compression: str
    file_hash: bytes
    file_size: int
    nar_hash: bytes
    nar_size: int

    def narinfo(self, info: PathInfo) -> NarInfo:
        """The narinfo of a path whose NAR this is.

        Raises:
            CorruptCacheError: they differ; or the path is registered with a malformed address.
        """
        if (info.nar_hash, info.nar_size) != (self.nar_hash, self.nar_size):
            raise CorruptCacheError(
                f"the file '{self.url}' is not the nar that '{info.path}' is registered with",
                path=info.path,
            )
        address = info.content_address
        return NarInfo(
            path=info.path,
            url=self.url,
            compression=self.compression,
            file_hash=self.file_hash,
            file_size=self.file_size,
            nar_hash=self.nar_hash,
            nar_size=self.nar_size,
            references=info.references,
            deriver=info.deriver,
            signatures=frozenset(info.signatures),
            content_address=None if address is None else ContentAddress.parse(address),
        )


class FileWriter:
    """A NAR file that gets its name from its bytes, which are compressed already.

    Args:
        files: the cache's files.
        compression: the compression of the bytes.
        digest: their SHA-256, if the publisher has checked it.

    Raises:
        BadFormatError: the compression cannot be read.
        CacheError, StorePermissionError, NoSpaceError: nothing can be written.
    """

    def __init__(
        self, files: WritableFiles, compression: str, *, digest: bytes | None = None
    ) -> None:
        if compression not in SUFFIXES:
            raise unreadable(compression)
        self._suffix = SUFFIXES[compression]
        self._file = files.create()
        self._known = digest
        self._hash = hashlib.sha256()
        self._published = False
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Takes all the bytes; they may be overwritten afterwards."""
        if self._known is None:
            self._hash.update(data)
        self.size += len(data)
        self._file.write(data)

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes that were written."""
        return self._hash.digest() if self._known is None else self._known

    def publish(self) -> str:
        """Puts the file into the cache, and gives its URL there; nothing names it yet."""
        url = f"nar/{nix32_encode(self.digest)}.nar{self._suffix}"
        self._file.publish(url)
        self._published = True
        return url

    def close(self) -> None:
        """Removes the file unless it was published."""
        if not self._published:
            self._file.discard()


class NarWriter:
    """A NAR that is compressed, and gets its name from the compressed bytes.

    Args:
        files: the cache's files.
        compression: one of `graft.formats.compression_levels.LEVELS`.
        level: the compression's level; None is its own default.
        threads: zstd's threads.

    Raises:
        UsageError: there is no such compression or level.
        CacheError, StorePermissionError, NoSpaceError: nothing can be written.
    """

    def __init__(
        self, files: WritableFiles, compression: str, *, level: int | None, threads: int
    ) -> None:
        self._compression = compression
        self._writer = CompressingWriter(
            self._write_file, compression, level=level, threads=threads
        )
        self._file = FileWriter(files, compression)
        self._nar_hash = hashlib.sha256()
        self._nar_size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Takes all the bytes; they may be overwritten afterwards."""
        self._nar_hash.update(data)
        self._nar_size += len(data)
        self._writer.write(data)

    def _write_file(self, data: bytes | memoryview) -> None:
        self._file.write(data)

    def finish(self) -> NarFile:
        """Puts the file into the cache, where nothing names it yet. The NAR is whole with it."""
        self._writer.finish()
        return NarFile(
            url=self._file.publish(),
            compression=self._compression,
            file_hash=self._file.digest,
            file_size=self._file.size,
            nar_hash=self._nar_hash.digest(),
            nar_size=self._nar_size,
        )

    def close(self) -> None:
        """Removes the file unless it was finished."""
        self._writer.close()
        self._file.close()


def _told(
    readinto: Callable[[memoryview], int], on_bytes: Callable[[memoryview], object]
) -> Callable[[memoryview], int]:
    def told(view: memoryview) -> int:
        read = readinto(view)
        on_bytes(view[:read])
        return read

    return told


class _PromiseError(Exception):
    """A sentence about a broken promise."""


class _Checked:
    """A stream that is not longer, shorter or another than promised."""

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        what: str,
        *,
        longest: int,
        exact: bool,
        digest: bytes | None,
    ) -> None:
        self._readinto = readinto
        self._what = what
        self._longest = longest
        self._exact = exact
        self._digest = digest
        self._position = 0
        self._hash = hashlib.sha256()

    def readinto(self, view: memoryview) -> int:
        read = self._readinto(view)
        self._position += read
        if self._position > self._longest:
            raise _PromiseError(f"{self._what} has more than {self._longest} bytes")
        if self._digest is not None:
            self._hash.update(view[:read])
        if not read and len(view):
            self._check_end()
        return read

    def _check_end(self) -> None:
        if self._exact and self._position < self._longest:
            raise _PromiseError(
                f"{self._what} ends after {self._position} of {self._longest} bytes"
            )
        if self._digest is not None and self._hash.digest() != self._digest:
            raise _PromiseError(
                f"{self._what} has the hash sha256:{nix32_encode(self._hash.digest())} instead of "
                f"sha256:{nix32_encode(self._digest)}"
            )
