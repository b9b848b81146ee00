"""The loader's view of a store object that is a NAR."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from graft.check.abi.object_contents import (
    DATA_SIZE,
    DIRECTORY,
    HEAD_SIZE,
    LOADER_CACHE,
    OTHER,
    Broken,
    Link,
    Script,
    Thing,
    parsed,
    script,
)
from graft.formats.elf.dynamic import Elf, Exports, Imports, read_exports, read_imports
from graft.formats.elf.headers import MAGIC, Read
from graft.formats.nar_reader import Contents, Directory, Entry, Regular, Symlink, read_archive
from graft.formats.window import Window
from graft.store.objects import NarObject


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

    def imports(self, name: bytes) -> Imports:
        """As the protocol says."""
        return read_imports(*self._within(name))

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
            if isinstance(event, Symlink):
                self._things[name] = Link(bytes(event.target))
            elif isinstance(event, Contents) and not self._take_contents(name, event):
                continue
            if names:
                names.pop()

    def _take_contents(self, name: bytes, event: Contents) -> bool:
        """Keeps a piece of a file if there is reason to; whether the file is over."""
        if name not in self._places and name not in self._things:
            if not event.final and len(event.data) < HEAD_SIZE:
                event.taken = 0  # it comes again, with more behind it
                return False
            head = bytes(event.data[:HEAD_SIZE])
            if head.startswith(MAGIC) or name.endswith(LOADER_CACHE):
                self._places[name] = (self._kept.tell(), 0)
            else:
                self._things[name] = script(head) or OTHER
        if name in self._places:
            self._append(name, event.data)
            if event.final:
                self._things[name] = parsed(*self._within(name))
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
