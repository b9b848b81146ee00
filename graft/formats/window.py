"""A window on a stream: the part in memory, where it can be changed before it goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SIZE: Final = 262_144
"""Bytes of a window. Among the sizes from 64 KiB to 4 MiB, between two pipes, it takes the least
processor time; the time by the clock hardly depends on it."""


class Window:
    """Moves over a stream from its beginning to its end.

    Args:
        readinto: puts bytes at the beginning of the buffer it is given, and returns their number: 0
            only at the end of the stream.
        write: takes all the bytes it is given before it returns; then they are overwritten.
        size: in bytes.

    Attributes:
        buffer: the memory. The stream's bytes from `at` to `end` are in it.
        view: a view of the buffer, for slices that are no copies.
        at: up to here the window's user is done: the bytes before it go on, changed or not. Only
            the user moves it.
        end: behind the last byte that was read.
        written: bytes that have gone on.
    """

    __slots__ = (
        "_ended",
        "_moved",
        "_passed",
        "_readinto",
        "_withheld",
        "_write",
        "at",
        "buffer",
        "end",
        "view",
        "written",
    )

    def __init__(
        self,
        readinto: Callable[[memoryview], int],
        write: Callable[[memoryview], object],
        size: int = SIZE,
    ) -> None:
        self._readinto = readinto
        self._write = write
        self._moved = 0
        self._passed = 0  # up to here the bytes in the buffer have gone on
        self._withheld = 0  # so many of the bytes that come next do not go on
        self._ended = False
        self.written = 0
        self.buffer = bytearray(size)
        self.view = memoryview(self.buffer)
        self.at = self.end = 0

    @property
    def position(self) -> int:
        """Where `at` is in the stream, in bytes from its beginning."""
        return self._moved + self.at

    def move(self) -> bool:
        """Writes the bytes before `at`, moves there, and reads on; False at the stream's end.

        Raises:
            ValueError: the window is full, and its user is done with nothing of it.
        """
        self.pass_on()
        rest = self.end - self.at
        self.view[:rest] = self.view[self.at : self.end]
        self._moved += self.at
        self.at, self.end, self._passed = 0, rest, 0
        if self._ended:
            return False
        with self.view[self.end :] as free:
            if not free:
                raise ValueError("the window is too small for the pattern sought in it")
            read = self._readinto(free)
        self.end += read
        self._ended = read == 0
        return not self._ended

    def holds(self, size: int) -> bool:
        """Whether `size` bytes from `at` on are in the window, moved if need be; else it ends."""
        while self.end - self.at < size:
            if not self.move():
                return False
        return True

    def pass_on(self) -> None:
        """Writes the bytes before `at`."""
        withheld = min(self._withheld, self.at - self._passed)
        self._withheld -= withheld
        self._send(self.view[self._passed + withheld : self.at])
        self._passed = self.at

    def withhold(self, size: int) -> None:
        """Lets the `size` bytes from `at` on not go on, once the user is done with them."""
        self.pass_on()
        self._withheld += size

    def insert(self, *texts: bytes | bytearray) -> None:
        """Writes other bytes, behind the bytes before `at`."""
        self.pass_on()
        for text in texts:
            self._send(memoryview(text))

    def _send(self, data: memoryview) -> None:
        if data:
            self._write(data)
            self.written += len(data)
