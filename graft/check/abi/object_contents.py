"""The loader's view of store objects: ELF files, scripts, links and directories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from graft.errors import BadFormatError
from graft.formats.elf.dynamic import Elf, Exports, Imports, read_elf
from graft.formats.elf.headers import Read


@dataclass(frozen=True, slots=True)
class Script:
    """An executable text.

    Attributes:
        interpreter: the interpreter in its first line.
    """

    interpreter: bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A symlink."""

    target: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that begins as an ELF file and is not one.

    Attributes:
        reason: a lower-case sentence.
    """

    reason: str


LOADER_CACHE: Final = b"ld.so.cache"
"""The name of the loader's list of libraries."""

DATA_SIZE: Final = 16 << 20
"""Bytes; no loader and no list of its libraries has more."""

HEAD_SIZE: Final = 256
"""Bytes that Linux reads of a script (BINPRM_BUF_SIZE)."""

DIRECTORY: Final = "directory"
OTHER: Final = "other"
"""A file that is neither an ELF file nor a script."""

Thing = Elf | Script | Broken | Link | str
"""The thing that a name in an object stands for: DIRECTORY and OTHER are the texts."""


class ObjectContents(Protocol):
    """One object. Names are relative to its top, the empty one being the top itself."""

    def thing(self, name: bytes) -> Thing | None:
        """The thing of a name, if there is one."""

    def imports(self, name: bytes) -> Imports:
        """The needs of an ELF file from its libraries.

        Raises:
            BadFormatError: its tables are broken.
        """

    def exports(self, name: bytes) -> Exports:
        """The symbols and versions that an ELF file offers.

        Raises:
            BadFormatError: its tables are broken.
        """

    def data(self, name: bytes) -> bytes:
        """The bytes of an ELF file or of a LOADER_CACHE, at most DATA_SIZE of them."""

    def files(self) -> Iterator[tuple[bytes, Elf | Script | Broken]]:
        """All ELF files and scripts."""


def parsed(read: Read, size: int) -> Elf | Broken | str:
    """A file that begins with MAGIC; OTHER if no loader has to do with it."""
    try:
        return read_elf(read, size) or OTHER
    except BadFormatError as error:
        return Broken(error.message)


def script(head: bytes) -> Script | None:
    """A script by its file's first HEAD_SIZE bytes, if it has an absolute interpreter."""
    if not head.startswith(b"#!"):
        return None
    words = head[2:].partition(b"\n")[0].split()
    return Script(words[0]) if words and words[0].startswith(b"/") else None
