"""The fix-ups at work on a NAR that passes: answers about other files are given on trust.

A file is given to its fix-up as soon as all of it has passed. It is known which of the files before
it have changed. The files behind it are taken to stay unchanged, and to be no signatures. Where
that turns out to be wrong, or a fix-up has to have the bytes of another file, the NAR has to be
unpacked.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Final

from graft.fixups.api import SIGNATURES, BrokenFixupError
from graft.objects.file_fixups import (
    ChangedName,
    FileFix,
    FixedFile,
    broken_fixup,
    check_vital,
)

if TYPE_CHECKING:
    from graft.fixups import Fixup, InnerFile
    from graft.objects.file_fixups import FileFixups

_OUTSIDE: Final = b".."


class TreeNeededError(Exception):
    """A file depends on others whose bytes have passed, or are still to come."""


class NarFixups:
    """The fix-ups of one NAR's files, as these pass; the `Siblings` of each.

    Args:
        fixups: the fix-ups of single files.
        full: the store path in full, for messages.

    Attributes:
        files: the files that fix-ups had something to do with, in the order of the NAR.
    """

    def __init__(self, fixups: FileFixups, full: bytes) -> None:
        self._fixups = fixups
        self._full = full
        self.files: list[FixedFile] = []
        self._left: list[tuple[bytes, FileFix]] = []  # with old names
        self._is_tree_needed = False
        # The files that have passed, in old names.
        self._changed: set[bytes] = set()
        self._inner: dict[bytes, tuple[InnerFile, ...]] = {}
        self._symlinks: set[bytes] = set()
        self._signatures: set[bytes] = set()
        self._marked_names: set[bytes] = set()
        # The files that must not come any more, in old names.
        self._unchanged: set[bytes] = set()
        self._directories: set[bytes] = set()
        self._unsigned: set[bytes] = set()
        self._absent_names: set[bytes] = set()

    # ---- as the NAR passes --------------------------------------------------------------------

    def symlink(self, path: bytes) -> None:
        """A symlink has passed.

        Raises:
            TreeNeededError: a file was asked for by a way that leads through it.
        """
        if path in self._directories:
            raise TreeNeededError
        self._symlinks.add(path)

    def regular(self, path: bytes, head: bytes) -> Fixup | None:
        """A file begins; its fix-up.

        Args:
            path: in old names; empty for the top itself.
            head: its first bytes.

        Raises:
            TreeNeededError: the presence of such a file changes the result for another.
        """
        name = posixpath.basename(path)
        if path.endswith(SIGNATURES):
            if path in self._unsigned:
                raise TreeNeededError
            self._signatures.add(path)
        if not self._fixups.marks(head, name):
            return None
        if name in self._absent_names:
            raise TreeNeededError
        self._marked_names.add(name)
        return self._fixups.recognise(head, name or posixpath.basename(self._full))

    def is_too_large(self, size: int) -> bool:
        """Whether files of a size, in bytes, are not opened."""
        return self._fixups.is_too_large(size)

    def check_unguarded(self, size: int, *, free: bool) -> None:
        """Makes sure that a changed file of no fix-up's type is as plain rewriting makes it.

        Args:
            size: the file's size in bytes.
            free: whether it is text without a signature, and without a sum of itself.

        Raises:
            TreeNeededError: it may keep a sum of its own bytes.
        """
        if not free and self._fixups.may_be_guarded(size):
            raise TreeNeededError

    def too_large(self, fixup: Fixup, path: bytes) -> FileFix:
        """The result for a file that is not opened."""
        return self._taken(path, self._fixups.too_large(fixup))

    def fix(self, fixup: Fixup, path: bytes, data: bytes, plain: bytearray) -> FileFix | None:
        """The result for a file; None if plain rewriting makes it.

        Args:
            fixup: as `regular` gave it.
            data: the whole file, as it was.
            plain: the plain rewrite of it.

        Raises:
            TreeNeededError: that cannot be told without other files.
            FixupError: a user's own fix-up fails on it.
        """
        known_by = path or posixpath.basename(self._full)
        inner: list[InnerFile] = []
        try:
            fix = self._fixups.fix(fixup, data, known_by, self, plain, inner)
        except BrokenFixupError as error:
            raise broken_fixup(error, self._full_of(path)) from error
        if self._is_tree_needed:
            raise TreeNeededError
        self._inner[path] = tuple(inner)
        return None if fix is None else self._taken(path, fix)

    def passed(self, path: bytes, *, changed: bool) -> None:
        """All of a file has passed.

        Raises:
            TreeNeededError: it was taken for one that does not change.
        """
        if changed:
            if path in self._unchanged:
                raise TreeNeededError
            self._changed.add(path)

    @property
    def changes(self) -> list[ChangedName]:
        """The files that have changed, with the files in them."""
        return [ChangedName(path, self._inner.get(path, ())) for path in sorted(self._changed)]

    def check(self) -> None:
        """Makes sure that the files that were left alone may be.

        Raises:
            FixupError: one must not.
        """
        for path, fix in sorted(self._left, key=lambda each: each[0]):
            check_vital(fix.outcomes, self._full_of(path))

    def _full_of(self, path: bytes) -> bytes:
        return self._full + b"/" + path if path else self._full

    def _taken(self, path: bytes, fix: FileFix) -> FileFix:
        self.files.append(fix.fixed(path, self._fixups.table))
        if any(outcome.fatal for outcome in fix.outcomes):
            self._left.append((path, fix))
        return fix

    # ---- as fix-ups see it --------------------------------------------------------------------

    def old(self, path: bytes) -> bytes | None:
        """No bytes are kept."""
        del path
        self._is_tree_needed = True
        return None

    def new(self, path: bytes) -> bytes | None:
        """As `old`."""
        return self.old(path)

    def changed(self, path: bytes) -> bool:
        """Whether a file has changed."""
        if not self._is_inside(path):
            return False
        if path in self._changed:
            return True
        self._unchanged.add(path)
        return False

    def is_signed(self, path: bytes) -> bool:
        """Whether a file has a signature in a file next to it."""
        if not self._is_inside(path):
            return False
        signatures = [path + suffix for suffix in SIGNATURES]
        if not self._signatures.isdisjoint(signatures):
            return True
        self._unsigned.update(signatures)
        return False

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """Files of a name."""
        if name in self._marked_names:
            self._is_tree_needed = True
        self._absent_names.add(name)
        return []

    def _is_inside(self, path: bytes) -> bool:
        """Whether a path is one of the object, which is found by real directories only."""
        if path.startswith(b"/") or path.split(b"/", 1)[0] == _OUTSIDE:
            return False
        directory = posixpath.dirname(path)
        while directory and directory not in self._directories:
            if directory in self._symlinks:
                self._is_tree_needed = True
                break
            self._directories.add(directory)
            directory = posixpath.dirname(directory)
        return True
