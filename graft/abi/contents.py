"""What the loader could see in store objects: ELF files, scripts, links and directories."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Final, Protocol, Self

from graft.errors import BadFormatError, CacheError, TreeError
from graft.formats.elf import Elf, Exports, read_elf, read_exports
from graft.formats.elf_image import MAGIC, Read
from graft.formats.file_name import printable
from graft.formats.nar_reader import Contents, Directory, Entry, Regular, read_archive
from graft.formats.nar_reader import Symlink as NarSymlink
from graft.formats.store_path import StorePath
from graft.store.api import Source
from graft.store.objects import NarObject, TreeObject
from graft.window import Window

_HEAD_SIZE: Final = 256  # BINPRM_BUF_SIZE of Linux: what it reads of a script


@dataclass(frozen=True, slots=True)
class Script:
    """An executable text.

    Attributes:
        interpreter: what its first line says is to be started.
    """

    interpreter: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink."""

    target: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that begins as an ELF file and is none.

    Attributes:
        reason: a lower-case sentence.
    """

    reason: str


LOADER_CACHE: Final = b"ld.so.cache"
"""The name of the loader's list of libraries."""

DATA_SIZE: Final = 16 << 20
"""Bytes; no loader and no list of its libraries has more."""

DIRECTORY: Final = "directory"
OTHER: Final = "other"
"""A file that is neither an ELF file nor a script."""

Thing = Elf | Script | Broken | Link | str
"""What a name in an object is: DIRECTORY and OTHER are the texts."""


class ObjectContents(Protocol):
    """One object. Names are relative to its top, the empty one being the top itself."""

    def thing(self, name: bytes) -> Thing | None:
        """What a name is; None if nothing has it."""

    def exports(self, name: bytes) -> Exports:
        """What an ELF file offers.

        Raises:
            BadFormatError: its tables are broken.
        """

    def data(self, name: bytes) -> bytes:
        """The bytes of an ELF file or of a LOADER_CACHE, at most DATA_SIZE of them."""

    def files(self) -> Iterator[tuple[bytes, Elf | Script | Broken]]:
        """All ELF files and scripts."""


class StoreContents:
    """The objects of a store, each looked at when it is first asked for.

    It is to be closed: what is kept of NARs lies in a temporary file.

    Args:
        source: where they are valid.

    Attributes:
        unreadable: the objects whose NARs cannot be read, and why. They are taken to be empty:
            whoever has to read them will say so, and others need not stop for them.
    """

    def __init__(self, source: Source) -> None:
        self.unreadable: dict[StorePath, str] = {}
        self._source = source
        self._objects: dict[StorePath, ObjectContents] = {}
        self._kept: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()

    def __getitem__(self, path: StorePath) -> ObjectContents:
        """One object."""
        found = self._objects.get(path)
        if found is None:
            item = self._source.store_object(path)
            if isinstance(item, NarObject):
                if self._kept is None:
                    self._kept = tempfile.TemporaryFile(prefix="graft-")  # noqa: SIM115 - until __exit__
                found = nar = NarContents(self._kept)
                try:
                    nar.read(item)
                except (CacheError, BadFormatError) as error:
                    self.unreadable[path] = error.message
                    found = NarContents(self._kept)
            else:
                found = TreeContents(item)
            self._objects[path] = found
        return found


class TreeContents:
    """An object that is a tree; what was looked at once is remembered."""

    def __init__(self, item: TreeObject) -> None:
        self._top = os.fsencode(item.tree)
        self._things: dict[bytes, Thing | None] = {}

    def thing(self, name: bytes) -> Thing | None:
        """As the protocol says."""
        if name not in self._things:
            self._things[name] = self._look(name)
        return self._things[name]

    def exports(self, name: bytes) -> Exports:
        """As the protocol says."""
        with _opened(self._place(name)) as file:
            return read_exports(_reading(file), os.fstat(file).st_size)

    def data(self, name: bytes) -> bytes:
        """As the protocol says."""
        with _opened(self._place(name)) as file:
            return os.pread(file, DATA_SIZE, 0)

    def files(self) -> Iterator[tuple[bytes, Elf | Script | Broken]]:
        """As the protocol says."""
        top = self.thing(b"")
        if isinstance(top, (Elf, Script, Broken)):
            yield b"", top
        waiting = [b""] if top == DIRECTORY else []
        while waiting:
            directory = waiting.pop()
            prefix = directory + b"/" if directory else b""
            for entry in _entries(self._place(directory)):
                name = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    self._things[name] = DIRECTORY
                    waiting.append(name)
                elif entry.is_file(follow_symlinks=False):
                    thing = self._things.get(name)
                    if thing is None:
                        thing = self._things[name] = _look_into(entry.path)
                    if isinstance(thing, (Elf, Script, Broken)):
                        yield name, thing

    def _place(self, name: bytes) -> bytes:
        return self._top + b"/" + name if name else self._top

    def _look(self, name: bytes) -> Thing | None:
        place = self._place(name)
        try:
            mode = os.lstat(place).st_mode
            if stat.S_ISLNK(mode):
                return Link(os.readlink(place))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(place, error) from error
        if stat.S_ISDIR(mode):
            return DIRECTORY
        return _look_into(place) if stat.S_ISREG(mode) else OTHER


class NarContents:
    """An object that is a NAR, read once.

    Args:
        kept: a file, behind the end of which the ELF files are put.
    """

    def __init__(self, kept: BinaryIO) -> None:
        self._things: dict[bytes, Thing] = {}
        self._places: dict[bytes, tuple[int, int]] = {}
        self._kept = kept

    def read(self, item: NarObject) -> None:
        """Reads it.

        Raises:
            CacheError, CorruptCacheError, BadFormatError: that cannot be done.
        """
        with item.open() as nar:
            self._take(Window(nar.readinto, lambda _: None))

    def thing(self, name: bytes) -> Thing | None:
        """As the protocol says."""
        return self._things.get(name)

    def exports(self, name: bytes) -> Exports:
        """As the protocol says."""
        return read_exports(*self._within(name))

    def data(self, name: bytes) -> bytes:
        """As the protocol says."""
        read, _ = self._within(name)
        return read(0, DATA_SIZE)

    def files(self) -> Iterator[tuple[bytes, Elf | Script | Broken]]:
        """As the protocol says."""
        for name, thing in self._things.items():
            if isinstance(thing, (Elf, Script, Broken)):
                yield name, thing

    def _take(self, window: Window) -> None:
        names: list[bytes] = []
        for event in read_archive(window):
            name = b"/".join(names)
            if isinstance(event, Entry):
                names.append(bytes(event.name))
                continue
            if isinstance(event, Directory):
                self._things[name] = DIRECTORY
                continue
            if isinstance(event, Regular):
                continue
            if isinstance(event, NarSymlink):
                self._things[name] = Link(bytes(event.target))
            elif isinstance(event, Contents) and not self._take_contents(name, event):
                continue
            if names:
                names.pop()

    def _take_contents(self, name: bytes, event: Contents) -> bool:
        """Keeps a piece of a file if there is reason to; whether the file is over."""
        if name not in self._places and name not in self._things:
            if not event.final and len(event.data) < _HEAD_SIZE:
                event.taken = 0  # it comes again, with more behind it
                return False
            head = bytes(event.data[:_HEAD_SIZE])
            if head.startswith(MAGIC) or name.endswith(LOADER_CACHE):
                self._places[name] = (self._kept.tell(), 0)
            else:
                self._things[name] = _script(head) or OTHER
        if name in self._places:
            self._append(name, event.data)
            if event.final:
                self._things[name] = _parsed(*self._within(name))
        return event.final

    def _append(self, name: bytes, data: memoryview) -> None:
        start, size = self._places[name]
        self._kept.write(data)
        self._places[name] = (start, size + len(data))

    def _within(self, name: bytes) -> tuple[Read, int]:
        self._kept.flush()
        start, size = self._places[name]
        file = self._kept.fileno()

        def read(offset: int, wanted: int) -> bytes:
            if offset >= size:
                return b""
            return os.pread(file, min(wanted, size - offset), start + offset)

        return read, size


@contextmanager
def _opened(place: bytes) -> Iterator[int]:
    try:
        file = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _unreadable(place, error) from error
    try:
        yield file
    except OSError as error:
        raise _unreadable(place, error) from error
    finally:
        os.close(file)


def _reading(file: int) -> Read:
    def read(offset: int, size: int) -> bytes:
        # What no file can hold is not asked for: such a number would be refused.
        return os.pread(file, size, offset) if offset < 1 << 62 else b""

    return read


def _entries(place: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(place) as entries:
            return list(entries)
    except OSError as error:
        raise _unreadable(place, error) from error


def _look_into(place: bytes) -> Elf | Script | Broken | str:
    """Looks into a regular file, which is opened once."""
    with _opened(place) as file:
        head = os.read(file, _HEAD_SIZE)
        if head[:2] == b"#!":
            return _script(head) or OTHER
        if head[:4] == MAGIC:
            return _parsed(_reading(file), os.fstat(file).st_size)
        return OTHER


def _parsed(read: Read, size: int) -> Elf | Broken | str:
    try:
        return read_elf(read, size) or OTHER
    except BadFormatError as error:
        return Broken(error.message)


def _script(head: bytes) -> Script | None:
    if not head.startswith(b"#!"):
        return None
    words = head[2:].partition(b"\n")[0].split()
    return Script(words[0]) if words and words[0].startswith(b"/") else None


def _unreadable(place: bytes, error: OSError) -> TreeError:
    shown = printable(place)
    return TreeError(f"file '{shown}' cannot be read: {error.strerror}", file=shown)
