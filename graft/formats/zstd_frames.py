"""zstd written in frames of one size: the same bytes, however many threads compress them.

Source: RFC 8878, section 3.1: several frames one behind the other are the stream of what all of
them hold.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from typing import Any


def zstd_module() -> Any:
    """The binding of zstd."""
    # Python has it from 3.14 on.
    name = "compression.zstd" if find_spec("compression") else "backports.zstd"
    return import_module(name)


def _frame_size(level: int) -> int:
    """Bytes of the stream in one frame: some of zstd's windows, that little is lost by cutting.

    zstd's own threads are not used because with them the bytes are others than without.
    """
    return 1 << (24 if level < 16 else 26 if level < 20 else 28)


def _zstd_compressor(level: int) -> Any:
    return zstd_module().ZstdCompressor(level=level)


class ZstdFrames:
    """zstd, in frames of one size.

    Args:
        level: from 1 to 22.
    """

    def __init__(self, level: int) -> None:
        self._stream = _zstd_compressor(level)
        self._size = _frame_size(level)
        self._left = self._size

    def compress(self, data: bytes | memoryview) -> bytes:
        """Takes all the bytes, and gives what is compressed of the stream so far."""
        out = []
        rest = memoryview(data)
        while rest:
            if not self._left:
                out.append(self.flush())
                self._left = self._size
            piece, rest = rest[: self._left], rest[self._left :]
            self._left -= len(piece)
            out.append(self._stream.compress(piece))
        return b"".join(out)

    def flush(self) -> bytes:
        """Gives the rest of what is compressed."""
        end: bytes = self._stream.flush()
        return end


class ZstdThreads:
    """The same frames, several at once.

    Args:
        level: from 1 to 22.
        threads: that compress.
    """

    def __init__(self, level: int, threads: int) -> None:
        self._level = level
        self._size = _frame_size(level)
        self._most = threads
        self._pool = ThreadPoolExecutor(threads)
        self._frame = bytearray()
        self._running: deque[Future[bytes]] = deque()

    def compress(self, data: bytes | memoryview) -> bytes:
        """Takes all the bytes, and gives what is compressed of the stream so far."""
        out = []
        rest = memoryview(data)
        while rest:
            if len(self._frame) == self._size:
                out.append(self._submit())
            left = self._size - len(self._frame)
            self._frame += rest[:left]
            rest = rest[left:]
        return b"".join(out)

    def _submit(self) -> bytes:
        """Begins a frame, and gives one that is ready if otherwise too many would be held."""
        ready = b"" if len(self._running) < self._most else self._running.popleft().result()
        self._running.append(self._pool.submit(_zstd_frame, self._level, self._frame))
        self._frame = bytearray()
        return ready

    def flush(self) -> bytes:
        """Gives the rest of what is compressed."""
        out = [self._submit()]
        out += [future.result() for future in self._running]
        self._running.clear()
        self._pool.shutdown()
        return b"".join(out)


def _zstd_frame(level: int, data: bytearray) -> bytes:
    # Not at once: zstd compresses otherwise when it knows how much it will be.
    stream = _zstd_compressor(level)
    out: bytes = (stream.compress(data) if data else b"") + stream.flush()
    return out
