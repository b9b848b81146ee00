"""The NAR format, read strictly and as a stream.

The grammar is in graft/formats/nar.py. Archives that Nix would refuse are refused here, and so are
archives that no file system could hold: an archive from a cache is a stranger's word. Only one
window of it is in memory at a time. Texts can be changed there; then the archive goes on with other
bytes in the same places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from graft.errors import BadFormatError
from graft.formats import nar
from graft.formats.window import Window

_LONGEST_NAME: Final = 255  # NAME_MAX of every file system a store lies on
_NO_NAMES: Final = frozenset({b"", b".", b".."})
_LONGEST_TARGET: Final = 4095  # PATH_MAX without its NUL
_LONGEST_WORD: Final = 16  # of the grammar's own strings


@dataclass(slots=True)
class Regular:
    """A regular file begins; `Contents` follow, `size` bytes in all.

    The size itself stands in the window, in the 8 bytes before `at`.
    """

    executable: bool
    size: int


@dataclass(slots=True)
class Contents:
    """A piece of the contents of the file that began last.

    Attributes:
        data: the piece, in the window, until the next event.
        taken: how many bytes of it the caller is done with. Before the end of the file it may be
            set to less than all; then the rest comes again, with more behind it.
        final: the file ends with it.
    """

    data: memoryview
    taken: int
    final: bool = False


@dataclass(slots=True)
class Symlink:
    """A symlink; the target is in the window, until the next event."""

    target: memoryview


@dataclass(slots=True)
class Directory:
    """A directory begins; an `Entry` and its object follow for each of its entries."""


@dataclass(slots=True)
class Entry:
    """The object that follows is an entry of this name in the directory that is open.

    The name is in the window, until the next event.
    """

    name: memoryview


@dataclass(slots=True)
class DirectoryEnd:
    """The directory that was opened last has no more entries."""


Event = Regular | Contents | Symlink | Directory | Entry | DirectoryEnd


def read_archive(window: Window) -> Iterator[Event]:
    """Reads one archive to its end, and makes sure that nothing follows it.

    Args:
        window: on the archive, which is to begin where the window is. It is moved to its end.

    Yields:
        The contents of the archive, in its order.

    Raises:
        BadFormatError: it is no archive, or a stranger's trick; the offset in bytes is named.
    """
    return _Reader(window).events()


# The strings before an object and in an object before its first text, by the object's type.
_REGULAR, _EXECUTABLE, _SYMLINK = range(3)
_OBJECTS: Final = (
    nar.encode_strings(b"(", b"type", b"regular", b"contents"),
    nar.encode_strings(b"(", b"type", b"regular", b"executable", b"", b"contents"),
    nar.encode_strings(b"(", b"type", b"symlink", b"target"),
    nar.DIRECTORY_HEAD,
)
_TOP_OBJECTS: Final = tuple(nar.MAGIC + head for head in _OBJECTS)
_ENTRY_OBJECTS: Final = tuple(nar.encode_string(b"node") + head for head in _OBJECTS)
# The strings that may stand in a directory, after its beginning and after each kind of entry: one
# more entry, or the end. The end of the entry itself comes first.
_NAME: Final = 0
_ENTRIES: Final = (nar.encode_strings(b"entry", b"(", b"name"), nar.DIRECTORY_TAIL)
_AFTER_DIRECTORY: Final = tuple(nar.ENTRY_TAIL + next_ for next_ in _ENTRIES)
_LEAF_END: Final = (nar.encode_string(b")"),)
_AFTER_LEAF: Final = tuple(_LEAF_END[0] + next_ for next_ in _AFTER_DIRECTORY)

_LONGEST_CHOICE: Final = max(
    len(choice) for choices in (_TOP_OBJECTS, _ENTRY_OBJECTS, _AFTER_LEAF) for choice in choices
)


class _Reader:
    def __init__(self, window: Window) -> None:
        self._window = window

    def events(self) -> Iterator[Event]:
        window = self._window
        last_names: list[bytes] = []  # the entry read last of each open directory
        kind = self._one_of(_TOP_OBJECTS)
        while True:
            after = _AFTER_LEAF
            if kind <= _EXECUTABLE:
                size = self._number()
                yield Regular(kind == _EXECUTABLE, size)
                left = size
                while left > (there := window.end - window.at):
                    if there:
                        piece = Contents(window.view[window.at : window.end], taken=there)
                        yield piece
                        window.at += piece.taken
                        left -= piece.taken
                    if not window.move():
                        left -= window.end - window.at
                        window.at = window.end
                        raise self._error(f"the stream ends {left} bytes before its file does")
                yield Contents(window.view[window.at : window.at + left], taken=left, final=True)
                window.at += left
                if size % 8:
                    self._padding(size)
            elif kind == _SYMLINK:
                target = self._string(_LONGEST_TARGET)
                self._check_target(bytes(target))
                yield Symlink(target)
            else:
                yield Directory()
                last_names.append(b"")
                after = _ENTRIES
            while last_names and self._one_of(after) != _NAME:
                yield DirectoryEnd()
                last_names.pop()
                after = _AFTER_DIRECTORY
            if not last_names:
                break
            text = self._string(_LONGEST_NAME)
            name = bytes(text)
            self._check_name(name, last_names[-1])
            last_names[-1] = name
            yield Entry(text)
            kind = self._one_of(_ENTRY_OBJECTS)
        if after is _AFTER_LEAF:
            self._one_of(_LEAF_END)
        if window.holds(1):
            raise self._error("something follows the archive")

    def _error(self, what: str) -> BadFormatError:
        offset = self._window.position
        return BadFormatError(f"nar, byte {offset}: {what}", offset=offset)

    def _one_of(self, choices: tuple[bytes, ...]) -> int:
        """Goes past the one of the choices that stands here, and returns which it is."""
        window = self._window
        if window.end - window.at < _LONGEST_CHOICE:
            window.holds(_LONGEST_CHOICE)  # or all that is left
        at = window.at
        startswith = window.buffer.startswith
        for choice in choices:
            if startswith(choice, at, window.end):
                window.at = at + len(choice)
                return choices.index(choice)
        raise self._difference(choices)

    def _difference(self, choices: tuple[bytes, ...]) -> BadFormatError:
        """The error about the first word that is not among the choices."""
        begin = b""
        while True:
            word = bytes(self._string(_LONGEST_WORD))
            possible = [choice[len(begin) :] for choice in choices if choice.startswith(begin)]
            encoded = nar.encode_string(word)
            if not any(rest.startswith(encoded) for rest in possible):
                wanted = " or ".join(sorted({repr(_first_word(rest)) for rest in possible}))
                return self._error(f"{word!r} where {wanted} should stand")
            begin += encoded

    def _number(self) -> int:
        window = self._window
        if not window.holds(8):
            raise self._too_early(8)
        begin = window.at
        window.at = begin + 8
        return int.from_bytes(window.buffer[begin : begin + 8], "little")

    def _string(self, longest: int) -> memoryview:
        window = self._window
        if window.end - window.at < longest + 16:
            window.holds(longest + 16)  # or all that is left: no view may outlive a move
        size = self._number()
        if size > longest:
            raise self._error(f"a string of {size} bytes where at most {longest} may stand")
        begin = window.at
        stop = begin + size
        if stop + -size % 8 > window.end:
            raise self._too_early(size + -size % 8)
        window.at = stop
        if size % 8:
            self._padding(size)
        return window.view[begin:stop]

    def _padding(self, size: int) -> None:
        """Goes past the padding after a string of that size."""
        length = -size % 8
        window = self._window
        if not window.holds(length):
            raise self._too_early(length)
        begin = window.at
        window.at = stop = begin + length
        if any(window.buffer[begin:stop]):
            raise self._error("the padding is not zero")

    def _too_early(self, size: int) -> BadFormatError:
        window = self._window
        missing = size - (window.end - window.at)
        window.at = window.end
        return self._error(f"the stream ends {missing} bytes too early")

    def _check_name(self, name: bytes, last: bytes) -> None:
        if name in _NO_NAMES or b"/" in name or b"\0" in name:
            raise self._error(f"{name!r} is no name of a file")
        if name <= last:
            raise self._error(f"the entry {name!r} does not come after {last!r}")

    def _check_target(self, target: bytes) -> None:
        if not target or b"\0" in target:
            raise self._error(f"{target!r} is no target of a symlink")


def _first_word(choice: bytes) -> bytes:
    return choice[8 : 8 + int.from_bytes(choice[:8], "little")]
