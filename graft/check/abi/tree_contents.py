"""The loader's view of a store object that is a tree."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from graft.check.abi.object_contents import (
    DATA_SIZE,
    DIRECTORY,
    HEAD_SIZE,
    OTHER,
    Broken,
    Link,
    Script,
    Thing,
    parsed,
    script,
)
from graft.errors import TreeError
from graft.formats.elf.dynamic import Elf, Exports, Imports, read_exports, read_imports
from graft.formats.elf.headers import MAGIC, Read
from graft.formats.file_name import printable
from graft.store.objects import TreeObject


class TreeContents:
    """An object that is a tree; files that were looked at are remembered."""

    def __init__(self, item: TreeObject) -> None:
        self._top = os.fsencode(item.tree)
        self._things: dict[bytes, Thing | None] = {}

    def thing(self, name: bytes) -> Thing | None:
        """As the protocol says."""
        if name not in self._things:
            self._things[name] = self._look(name)
        return self._things[name]

    def imports(self, name: bytes) -> Imports:
        """As the protocol says."""
        with _opened(self._place(name)) as file:
            return read_imports(_reading(file), os.fstat(file).st_size)

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
        # A place that no file can hold is not asked for: such a number would be refused.
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
        head = os.read(file, HEAD_SIZE)
        if head[:2] == b"#!":
            return script(head) or OTHER
        if head[:4] == MAGIC:
            return parsed(_reading(file), os.fstat(file).st_size)
        return OTHER


def _unreadable(place: bytes, error: OSError) -> TreeError:
    shown = printable(place)
    return TreeError(f"file '{shown}' cannot be read: {error.strerror}", file=shown)
