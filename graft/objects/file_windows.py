"""The contents of a tree, piece by piece: files in windows, targets and names, to be searched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from graft.errors import TreeError
from graft.formats.file_name import printable
from graft.kernel.place import Where

WINDOW: Final = 1_048_576
"""Bytes of a file that are in memory at a time."""


class Placed(Protocol):
    """Something that was found at a place of some bytes."""

    @property
    def offset(self) -> int:
        """The offset of its first byte."""
        ...

    @property
    def size(self) -> int:
        """How many bytes it takes."""
        ...


Found = TypeVar("Found", bound=Placed)


@dataclass(frozen=True, slots=True)
class Text:
    """A name or a symlink's target.

    Attributes:
        file: whose it is, relative to the tree's top, empty for the top itself.
        where: which of the two.
        data: its bytes.
    """

    file: bytes
    where: Where
    data: bytes


def regular_files(tree: str | bytes) -> Iterator[bytes]:
    """The regular files of a tree, relative to its top, in order; the top alone if it is one.

    Raises:
        TreeError: a directory cannot be read.
    """
    top = os.fsencode(tree)
    if not os.path.isdir(top) or os.path.islink(top):
        if os.path.isfile(top) and not os.path.islink(top):
            yield b""
        return
    for directory, _, files in _walk(top):
        for name in sorted(files):
            path = os.path.join(directory, name)
            if not os.path.islink(path) and os.path.isfile(path):
                yield os.path.relpath(path, top)


def texts(tree: str | bytes) -> Iterator[Text]:
    """The names and the symlinks' targets of a tree, in order.

    Raises:
        TreeError: a directory or a link cannot be read.
    """
    top = os.fsencode(tree)
    if os.path.islink(top):
        yield Text(b"", "target", os.readlink(top))
        return
    if not os.path.isdir(top):
        return
    for directory, directories, files in _walk(top):
        for name in sorted([*directories, *files]):
            path = os.path.join(directory, name)
            file = os.path.relpath(path, top)
            yield Text(file, "name", name)
            if os.path.islink(path):
                yield Text(file, "target", os.readlink(path))


def search_file(
    path: bytes,
    find: Callable[[memoryview], Iterator[Found]],
    longest: int,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Iterator[tuple[int, Found]]:
    """Searches a file of any size in flat memory.

    Args:
        find: finds the things that are whole in some bytes.
        longest: bytes of the longest thing that is sought.
        on_bytes: called with the number of bytes read since the last call.

    Yields:
        The offset in the file of the bytes that were searched, and a find in them: each once, at
        the two offsets' sum.

    Raises:
        TreeError: it cannot be read.
    """
    keep = max(longest - 1, 0)
    buffer = bytearray(WINDOW + keep)
    try:
        with memoryview(buffer) as view, open(path, "rb", buffering=0) as file:
            base = held = 0
            while True:
                # The first bytes were searched before: only finds that end beyond them are new.
                with view[held : held + WINDOW] as free:
                    read = file.readinto(free)
                if not read:
                    return
                on_bytes(read)
                end = held + read
                with view[:end] as window:
                    for found in find(window):
                        if found.offset + found.size > held:
                            yield base, found
                kept = min(keep, end)
                view[:kept] = view[end - kept : end]
                base, held = base + end - kept, kept
    except OSError as error:
        shown = printable(path)
        raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error


def _walk(top: bytes) -> Iterator[tuple[bytes, list[bytes], list[bytes]]]:
    def fail(error: OSError) -> None:
        shown = printable(os.fsencode(error.filename))
        raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error

    for directory, directories, files in os.walk(top, onerror=fail):
        directories.sort()
        yield directory, directories, files
