"""The interface of a fix-up: the one protocol of every file type whose insides are looked into.

A fix-up goes through a file once, and hands every piece of it that may hold references to the
`Inside` that goes in with it. In a search the `Inside` searches the piece; in a rewrite it gives
the piece back changed. So a rewrite changes the pieces that a search sees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO, Final, Literal, Protocol

from graft.kernel.place import Where
from graft.kernel.tree.marks import HEAD

__all__ = [
    "HEAD",
    "SIGNATURES",
    "BrokenFixupError",
    "Fixup",
    "FixupOutcome",
    "Inside",
    "LeftAloneError",
    "LimitError",
    "Limits",
    "UnknownLibraryError",
    "Where",
]

SIGNATURES: Final = (b".sign", b".sig", b".asc", b".minisig", b".p7s")
"""The ends of the names of files that are signatures of the files next to them."""


class LeftAloneError(Exception):
    """A file cannot be rewritten soundly, or not be looked into; the text is the reason.

    Changes made to it so far are given up: it stays as it was, byte for byte.
    """


class LimitError(LeftAloneError):
    """A file expands to more than the limits allow."""


class UnknownLibraryError(Exception):
    """A library is another than the one graft relies on, so that others may make other bytes.

    Its file is left alone, and a tree with it is nothing for a store: see `Outcome.fatal`.

    Args:
        library: which one, with its version if it tells.
    """

    def __init__(self, library: str) -> None:
        super().__init__(f"{library} compresses otherwise than the one graft relies on")


class BrokenFixupError(Exception):
    """A user's own fix-up failed by a defect of its own; the text says how.

    Args:
        fixup: its name.
        reason: the exception it raised.
    """

    def __init__(self, fixup: str, reason: str) -> None:
        super().__init__(reason)
        self.fixup = fixup


class Inside(Protocol):
    """The context of a fix-up: the rewriting of its file's pieces, and its sibling files.

    Pieces come back as they were, and are then the same object, where there is nothing to change.
    """

    def plain(self, data: bytes, where: Where = "contents") -> bytes:
        """Bytes of the file as it stands, or a name or target in it: of equal length."""
        ...

    def contents(self, name: bytes, data: bytes) -> bytes:
        """The only file inside: it may have a file type of its own, and change length."""
        ...

    def members(self, files: Sequence[tuple[bytes, bytes]]) -> list[bytes]:
        """All the files inside, each by its name in there and its bytes; in the same order."""
        ...

    def expanded(self, read: Callable[[int], bytes], compressed: int) -> bytes:
        """All that `read` gives until it gives nothing, within the limits.

        Args:
            read: gives at most as many bytes as its argument says.
            compressed: how many bytes that was made from.

        Raises:
            LeftAloneError: it is more than the limits allow.
        """
        ...

    def old(self, path: bytes) -> bytes | None:
        """Another file of the same tree or container, before the rewrite; None if it is missing.

        Args:
            path: from the directory of the current file, with `..` where need be, in old names.
        """
        ...

    def new(self, path: bytes) -> bytes | None:
        """The same file after the rewrite."""
        ...

    def changed(self, path: bytes) -> bool:
        """Whether there is such a file, and it is going to be other bytes.

        A fix-up that asks this first lets a NAR pass by: no bytes of an unchanged file need be
        kept.
        """
        ...

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """Files of that name that hold detached parts of others: (old, new) of each."""
        ...

    def fragments(self, data: bytes) -> Sequence[tuple[int, bytes]]:
        """The bytes to be written over an ELF file whose plain references have changed.

        Compilers cut short strings up: see `graft.fixups.fragments`.

        Args:
            data: the file as it was.

        Returns:
            Offsets, and the bytes to write there.
        """
        ...

    def note(self, text: str) -> None:
        """Adds a note on this file for the reader of the result."""
        ...


class Fixup:
    """A file type. Subclasses say how it is recognised, and go through a file in `apply`.

    A file is recognised if it has one of the magics, where there are any; else by its name.

    Attributes:
        name: the name that switches it on and off.
        version: raised whenever its bytes change.
        by_default: whether it rewrites without being asked to. A fix-up that is switched off looks
            into the file all the same, and reports it.
        plain_without: whether a file that this fix-up does not rewrite is rewritten as it stands;
            else it is left alone. The fix-up may be switched off or fail, or the file may be too
            large.
        opens: whether there are files inside; else references are in the file as it stands, and a
            mere search for them need not open it.
        stores: whether it holds the files inside without encoding.
        packs: whether part of it may be packed, though there are no files inside: see `is_packed`.
        hides: whether there may be references in it that graft cannot see, so that it is reported.
        magics: (offset, bytes) within the first `HEAD` bytes.
        suffixes: the ends of names.
        names: whole names.
    """

    name: str
    version: int = 1
    by_default: bool = True
    plain_without: bool = False
    opens: bool = True
    stores: bool = False
    packs: bool = False
    hides: bool = False
    magics: tuple[tuple[int, bytes], ...] = ()
    suffixes: tuple[bytes, ...] = ()
    names: tuple[bytes, ...] = ()

    def recognises(self, head: bytes, name: bytes) -> bool:
        """Whether a file is of this type.

        Args:
            head: its first bytes, `HEAD` if it has as many.
            name: its name without directories; empty if it has no name.
        """
        if self.magics:
            return any(head.startswith(magic, offset) for offset, magic in self.magics)
        return name in self.names or (bool(self.suffixes) and name.endswith(self.suffixes))

    @property
    def is_looked_into(self) -> bool:
        """Whether there may be more in files of the type than a search of their bytes finds."""
        return self.opens or self.hides or self.packs

    def is_packed(self, file: IO[bytes]) -> bool:
        """Whether part of a file is packed, of a type that `packs`."""
        del file
        return self.packs

    def vital(self, data: bytes, name: bytes) -> bool:
        """Whether a file of the type must not be left alone: the result would do harm.

        Args:
            data: the whole file.
            name: without directories.
        """
        del data, name
        return False

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file with changed contents; the very same object if nothing changes.

        Raises:
            LeftAloneError: it cannot be. The exceptions of `graft.fixups.damage.DAMAGE` say the
                same of a damaged file. Any other ends the job.
        """
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of opening a file. A file beyond them is a bomb: reported, and not unpacked.

    Attributes:
        depth: containers inside each other.
        size: bytes that all containers in one file expand to, together.
        ratio: how many times its size a container may expand to, from `free` on.
        free: bytes to which every container may expand.
    """

    depth: int = 8
    size: int = 1 << 29
    ratio: int = 1100
    free: int = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class FixupOutcome:
    """The result of a fix-up for one file.

    Attributes:
        container: the steps to it, as in a Place; empty: the file is in no container.
        fixup: which one.
        outcome: `left-alone`: the file's bytes are the old ones. `noted`: the reader is told
            something of the file, rewritten or not.
        reason: the reason why it is left alone, or the note.
        fatal: whether a tree in which a file was left alone so must not be taken into a store: a
            system would start with old units, or others make other bytes for the same name.
    """

    container: tuple[str, ...]
    fixup: str
    outcome: Literal["rewritten", "left-alone", "noted"]
    reason: str | None = None
    fatal: bool = False
