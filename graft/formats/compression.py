"""Compressed streams, by the names of narinfo's `Compression`.

Source: RFC 8878 (zstd), RFC 1952 (gzip), the xz file format 1.2, bzip2; as Nix's libarchive does,
several streams one behind the other are read as one. Whichever size a stream claims to expand to,
no more of it is in memory than its window and one piece.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Final, Protocol

from graft.errors import BadFormatError, UsageError
from graft.formats.compression_levels import LEVELS
from graft.formats.zstd import zstd_compressor, zstd_module

_DEFAULT_LEVELS: Final = {"xz": 6, "zstd": 3, "bzip2": 9, "gzip": 6}
_CHUNK: Final = 65_536  # bytes of compressed data read at once
_XZ_MEMORY: Final = 128 << 20  # of its window: xz -9 wants half of it
_ZSTD_WINDOW_LOG: Final = 27  # the largest that zstd itself takes without an option
_GZIP: Final = 16 + zlib.MAX_WBITS


class _Decompressor(Protocol):
    """The common interface of lzma, bz2 and zstd."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class DecompressingReader:
    """A compressed stream, read as its expanded contents.

    Args:
        readinto: puts bytes of the compressed stream at the beginning of the buffer it is given,
            and returns their number: 0 only at its end.
        compression: one of `LEVELS`.
        limit: to more bytes it may not expand.

    Raises:
        BadFormatError: the compression is not one that can be read.
    """

    def __init__(
        self, readinto: Callable[[memoryview], int], compression: str, *, limit: int
    ) -> None:
        if compression not in LEVELS:
            raise unreadable(compression)
        self._readinto = readinto
        self._compression = compression
        self._left = limit
        self._buffer = memoryview(bytearray(_CHUNK))
        self._stream = _decompressor(compression)

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: 0 only at the end.

        Raises:
            BadFormatError: the stream is damaged, cut, followed by something else, or too long.
        """
        if self._stream is None:
            read = self._readinto(view[: self._left + 1])
        else:
            data = self._decompress(self._stream, min(len(view), self._left + 1))
            read = len(data)
            view[:read] = data
        self._left -= read
        if self._left < 0:
            raise self._error("it expands to more bytes than it may")
        return read

    def _decompress(self, stream: _Decompressor, most: int) -> bytes:
        while True:
            data = b""
            if stream.eof:
                data = stream.unused_data or self._more()
                if not data:
                    return b""
                self._stream = stream = _begun(self._compression)
            elif stream.needs_input:
                data = self._more()
                if not data:
                    raise self._error("it is cut")
            try:
                expanded = stream.decompress(data, most)
            except _errors() as error:
                raise self._error(str(error).lower()) from error
            if expanded:
                return expanded

    def _more(self) -> bytes:
        return bytes(self._buffer[: self._readinto(self._buffer)])

    def _error(self, what: str) -> BadFormatError:
        return BadFormatError(f"{self._compression} stream: {what}", compression=self._compression)


def check_compression(compression: str, level: int | None, threads: int) -> None:
    """Makes sure that a stream can be compressed so; arguments as of `CompressingWriter`.

    Raises:
        UsageError: there is no such compression or level, or threads are not for it.
    """
    levels = LEVELS.get(compression)
    if levels is None:
        raise UsageError(
            f"compression '{compression}' is not among {', '.join(LEVELS)}",
            compression=compression,
        )
    if level is not None and level not in levels:
        wanted = f"one from {levels[0]} to {levels[-1]}" if levels else "no level at all"
        raise UsageError(
            f"{compression} has no level {level}: give {wanted}",
            compression=compression,
        )
    if threads > 1 and compression != "zstd":
        raise UsageError(
            f"{compression} has no threads of its own: only zstd has",
            compression=compression,
        )


class CompressingWriter:
    """A stream, written compressed. The same bytes compress to the same, however they are cut.

    Args:
        write: takes the compressed bytes.
        compression: one of `LEVELS`.
        level: one of the compression's; with None, the level that the compression's own program
            uses.
        threads: zstd's threads, without the writing thread; the bytes do not depend on their
            number. At the default level 1, 2 and 4 of them take 34, 44 and 60 MiB, at level 19 182
            and more.

    Raises:
        UsageError: there is no such compression or level, or threads are not for it.
    """

    def __init__(
        self,
        write: Callable[[bytes | memoryview], object],
        compression: str,
        *,
        level: int | None = None,
        threads: int = 1,
    ) -> None:
        check_compression(compression, level, threads)
        self._write = write
        self._stream = _compressor(compression, level, threads)

    def write(self, data: bytes | memoryview) -> None:
        """Takes all the bytes; they may be overwritten afterwards."""
        if self._stream is None:
            self._write(data)
        elif compressed := self._stream.compress(data):
            self._write(compressed)

    def finish(self) -> None:
        """Writes the rest; nothing may be written afterwards."""
        if self._stream is not None:
            self._write(self._stream.flush())
        self.close()

    def close(self) -> None:
        """Gives back memory and threads at once; nothing may be written afterwards.

        A process that is forked while zstd has threads would wait for them for ever when it frees
        the stream.
        """
        self._stream = None


def unreadable(compression: str) -> BadFormatError:
    """The error about a compression that is not in `LEVELS`."""
    return BadFormatError(
        f"compression '{compression}' cannot be read: let the cache use one of {', '.join(LEVELS)}",
        compression=compression,
    )


def _errors() -> tuple[type[Exception], ...]:
    """The exceptions that the libraries raise when a stream is damaged."""
    return (lzma.LZMAError, OSError, zlib.error, EOFError, zstd_module().ZstdError)


def _decompressor(compression: str) -> _Decompressor | None:
    return None if compression == "none" else _begun(compression)


def _begun(compression: str) -> _Decompressor:
    if compression == "xz":
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
    if compression == "bzip2":
        return bz2.BZ2Decompressor()
    if compression == "gzip":
        return _GzipDecompressor()
    zstd = zstd_module()
    options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
    stream: _Decompressor = zstd.ZstdDecompressor(options=options)
    return stream


class _GzipDecompressor:
    """zlib's, as the others are."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        # A piece as long as it may be can have more behind it, inside of zlib.
        return not self._full and not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        expanded = self._stream.decompress(data or self._stream.unconsumed_tail, max_length)
        self._full = len(expanded) == max_length
        return expanded


def _compressor(compression: str, level: int | None, threads: int) -> Any:
    if compression == "none":
        return None
    level = _DEFAULT_LEVELS[compression] if level is None else level
    if compression == "xz":
        return lzma.LZMACompressor(preset=level)
    if compression == "bzip2":
        return bz2.BZ2Compressor(level)
    if compression == "gzip":
        return zlib.compressobj(level, wbits=_GZIP)
    return zstd_compressor(level, threads)
