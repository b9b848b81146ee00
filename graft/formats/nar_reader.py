"""The NAR format, read strictly and as a stream.

The grammar is in graft/formats/nar.py. What Nix would refuse is refused here, and so is what no
file system could hold: an archive from a cache is a stranger's word. Only one piece of it is in
memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError

MAGIC_STRING: Final = b"nix-archive-1"
_LONGEST_NAME: Final = 255  # NAME_MAX of every file system a store lies on
_LONGEST_TARGET: Final = 4095  # PATH_MAX without its NUL
_LONGEST_WORD: Final = 16  # of the grammar's own strings
_PIECE: Final = 262_144


@dataclass(frozen=True, slots=True)
class Regular:
    """A regular file begins; `Contents` follow, `size` bytes in all."""

    executable: bool
    size: int


@dataclass(frozen=True, slots=True)
class Contents:
    """A piece of the contents of the file that began last."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Symlink:
    """A symlink."""

    target: bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory begins; an `Entry` and its object follow for each of its entries."""


@dataclass(frozen=True, slots=True)
class Entry:
    """The object that follows is an entry of this name in the directory that is open."""

    name: bytes


@dataclass(frozen=True, slots=True)
class DirectoryEnd:
    """The directory that was opened last has no more entries."""


Event = Regular | Contents | Symlink | Directory | Entry | DirectoryEnd


def read_archive(read: Callable[[int], bytes]) -> Iterator[Event]:
    """Reads one archive to its end, and makes sure that nothing follows it.

    Args:
        read: gives up to as many bytes as asked for, and none only at the end of the stream.

    Yields:
        What the archive holds, in its order.

    Raises:
        BadFormatError: it is no archive, or a stranger's trick; the offset in bytes is named.
    """
    return _Reader(read).events()


class _Reader:
    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._offset = 0

    def _error(self, what: str) -> BadFormatError:
        return BadFormatError(f"nar, byte {self._offset}: {what}", offset=self._offset)

    def _exactly(self, size: int) -> bytes:
        pieces = []
        missing = size
        while missing:
            piece = self._read(missing)
            if not piece:
                raise self._error(f"the stream ends {missing} bytes too early")
            pieces.append(piece)
            missing -= len(piece)
            self._offset += len(piece)
        return b"".join(pieces)

    def _number(self) -> int:
        return int.from_bytes(self._exactly(8), "little")

    def _padding(self, size: int) -> None:
        if any(self._exactly(-size % 8)):
            raise self._error("the padding is not zero")

    def _string(self, longest: int) -> bytes:
        size = self._number()
        if size > longest:
            raise self._error(f"a string of {size} bytes where at most {longest} may stand")
        data = self._exactly(size)
        self._padding(size)
        return data

    def _expect(self, *words: bytes) -> None:
        for word in words:
            found = self._string(_LONGEST_WORD)
            if found != word:
                raise self._error(f"{found!r} where {word!r} should stand")

    def events(self) -> Iterator[Event]:
        self._expect(MAGIC_STRING)
        last_names: list[bytes | None] = []  # of each open directory, the entry read last
        yield from self._object(last_names)
        while last_names:
            word = self._string(_LONGEST_WORD)
            if word == b")":
                last_names.pop()
                yield DirectoryEnd()
                if last_names:
                    self._expect(b")")
            elif word == b"entry":
                self._expect(b"(", b"name")
                name = self._string(_LONGEST_NAME)
                self._check_name(name, last_names[-1])
                last_names[-1] = name
                self._expect(b"node")
                yield Entry(name)
                depth = len(last_names)
                yield from self._object(last_names)
                if len(last_names) == depth:
                    self._expect(b")")
            else:
                raise self._error(f"{word!r} where an entry or the directory's end should stand")
        if self._read(1):
            raise self._error("something follows the archive")

    def _check_name(self, name: bytes, last: bytes | None) -> None:
        if name in {b"", b".", b".."} or b"/" in name or b"\0" in name:
            raise self._error(f"{name!r} is no name of a file")
        if last is not None and name <= last:
            raise self._error(f"the entry {name!r} does not come after {last!r}")

    def _object(self, last_names: list[bytes | None]) -> Iterator[Event]:
        """An object; of a directory only its beginning, which makes it the innermost open one."""
        self._expect(b"(", b"type")
        kind = self._string(_LONGEST_WORD)
        if kind == b"directory":
            last_names.append(None)
            yield Directory()
        elif kind == b"symlink":
            self._expect(b"target")
            target = self._string(_LONGEST_TARGET)
            if not target or b"\0" in target:
                raise self._error(f"{target!r} is no target of a symlink")
            yield Symlink(target)
            self._expect(b")")
        elif kind == b"regular":
            yield from self._regular()
            self._expect(b")")
        else:
            raise self._error(f"{kind!r} is no type of file")

    def _regular(self) -> Iterator[Event]:
        word = self._string(_LONGEST_WORD)
        executable = word == b"executable"
        if executable:
            self._expect(b"", b"contents")
        elif word != b"contents":
            raise self._error(f"{word!r} where the contents should stand")
        size = self._number()
        yield Regular(executable, size)
        left = size
        while left:
            piece = self._read(min(left, _PIECE))
            if not piece:
                raise self._error(f"the stream ends {left} bytes before its file does")
            left -= len(piece)
            self._offset += len(piece)
            yield Contents(piece)
        self._padding(size)
