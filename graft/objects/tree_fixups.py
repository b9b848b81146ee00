"""The fix-ups at work on one tree: hidden references found, or rewritten in a copy of it.

A copy is made by `copy_tree`, which changes references as they stand, and tells which files have
the registry's marks. Each of these is then made from its original by its fix-up, and takes the
place of the copy; if it is to be left alone, its original bytes do.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from itertools import groupby
from typing import BinaryIO, Final

from graft.errors import NoSpaceError, TreeError
from graft.fixups import HEAD, Fixup, FixupOutcome, InnerFile, Registry
from graft.fixups.api import SIGNATURES, BrokenFixupError
from graft.fixups.fragments import FragmentFinder
from graft.fixups.guarded import GUARDED
from graft.formats.file_name import printable
from graft.kernel import Table
from graft.kernel.tree import read_tree
from graft.kernel.tree.state import STORE_TIME
from graft.objects.checksums import ChangedFile, ChecksumPlace, digests_of, repair_tree
from graft.objects.escaped_names import NameFinder
from graft.objects.file_fixups import (
    ChangedName,
    FileFix,
    FileFixups,
    FixedFile,
    broken_fixup,
    check_vital,
)

_NOWHERE: Final = frozenset((errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG))
"""The errors that say that there is no such file. Any other tells of the machine."""


class Fixes:
    """The results of fix-ups for one tree's files, all of them known before any write.

    Args:
        source: the tree's top, without a slash at its end.
        table: the references that are rewritten.
        marked: the files that have the registry's marks, as a TreeReport has them.
        fragments: finds fragments of the same; None: references that compilers have cut up stay.
        names: finds escaped names of the same; None: no name follows its hash part in an escaped
            spelling.
        bare: whether hash parts stand in the open without their names, which may be escaped.

    Attributes:
        files: the files that fix-ups had something to do with, by their paths.
        changes: the tree's files that change, with the files in them.
        unshared: old and new sizes of the files that plain rewriting leaves unchanged, in bytes.

    Raises:
        TreeError: a file cannot be read.
        FixupError: one cannot be rewritten, and must not be left alone; or a user's own fix-up
            fails on it.
    """

    def __init__(
        self,
        source: bytes,
        table: Table,
        marked: Iterable[bytes],
        registry: Registry,
        *,
        fragments: FragmentFinder | None = None,
        names: NameFinder | None = None,
        bare: bool = True,
    ) -> None:
        self._source, self._table, self._registry = source, table, registry
        self._fixups = FileFixups(registry, table, fragments, names)
        self._marked = dict.fromkeys(marked)
        self._by_name: dict[bytes, list[bytes]] = {}
        for path in self._marked:
            self._by_name.setdefault(posixpath.basename(path), []).append(path)
        self._begun: set[bytes] = set()
        # New contents by the old path, where plain rewriting makes others; None: the original's.
        self._new: dict[bytes, bytes | None] = {}
        self.files: list[FixedFile] = []
        self.changes: list[ChangedName] = []
        self.unshared: list[tuple[int, int]] = []
        with _errors(source):
            for path in self._marked:
                self._fix(path)
            if names is not None and bare:
                self._rename(names)
        self.files.sort(key=lambda fixed: fixed.file)

    @property
    def replaces(self) -> bool:
        """Whether a file may be other than plain rewriting makes it."""
        return bool(self._new) or self._registry.sums

    def place(self, staged: bytes, *, owner: tuple[int, int]) -> None:
        """Puts the new files into a copy of the tree.

        The new files have the metadata of a store. Files that are hard links to each other stay so.

        Args:
            staged: the copy's top, made by `copy_tree` with the same table; no other process knows
                it.
            owner: user and group of the new files.

        Raises:
            TreeError: a file cannot be written.
        """
        twins: dict[tuple[int, int], bytes] = {}  # a file made of each original
        with _errors(staged):
            for path, new in sorted(self._new.items()):
                place = _below(staged, self._renamed(path))
                with open(_below(self._source, path), "rb") as original:
                    status = os.fstat(original.fileno())
                    if new is None and os.path.samestat(status, os.lstat(place)):
                        continue
                    with _replaceable(place, staged):
                        os.unlink(place)
                        identity = status.st_dev, status.st_ino
                        twin = twins.get(identity)
                        if twin is not None and (new is None or _regular(twin) == new):
                            os.link(twin, place)
                            continue
                        contents = original if new is None else BytesIO(new)
                        _make_file(place, contents, status, owner)
                        twins[identity] = place
            if self._registry.sums:
                self._sum_again(staged, owner)

    # ---- as fix-ups see it --------------------------------------------------------------------

    def old(self, path: bytes) -> bytes | None:
        """A file as it was."""
        return None if _leads_out(path) else _regular(_below(self._source, path))

    def new(self, path: bytes) -> bytes | None:
        """A file after the rewrite; after plain rewriting only, if it is the asking file."""
        if path in self._marked:
            self._fix(path)
        new = self._new.get(path)
        if new is not None:
            return new
        old = self.old(path)
        return old if old is None or path in self._new else self._table.rewrite(old)[0]

    def changed(self, path: bytes) -> bool:
        """Whether a file is going to be another."""
        old = self.old(path)
        return old is not None and old != self.new(path)

    def is_signed(self, path: bytes) -> bool:
        """Whether a file has a signature in a file next to it."""
        return any(self.old(path + suffix) is not None for suffix in SIGNATURES)

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """The files of a name."""
        found = []
        for path in self._by_name.get(name, ()):
            old, new = self.old(path), self.new(path)
            found += [(old, new)] if old is not None and new is not None else []
        return found

    # ---- one file -----------------------------------------------------------------------------

    def _fix(self, path: bytes) -> None:
        if path in self._begun:
            return
        self._begun.add(path)
        recognised = self._recognised(path)
        if recognised is None:
            self._note_change(path, None, None)
            return
        inner: list[InnerFile] = []
        fixup, data = recognised
        if data is None:
            fix: FileFix | None = self._fixups.too_large(fixup)
        else:
            name = path or posixpath.basename(self._source)
            try:
                fix = self._fixups.fix(fixup, data, name, self, inner=inner)
            except BrokenFixupError as error:
                raise broken_fixup(error, _below(self._source, path)) from error
        self._note_change(path, data, fix, inner)
        if fix is None:
            return  # it is as plain rewriting makes it
        if fix.replaced:
            self._new[path] = fix.contents
        if fix.unshared and fix.contents is not None and data is not None:
            self.unshared.append((len(data), len(fix.contents)))
        check_vital(fix.outcomes, _below(self._source, path))
        self.files.append(fix.fixed(path, self._table))

    def _note_change(
        self,
        path: bytes,
        data: bytes | None,
        fix: FileFix | None,
        inner: Iterable[InnerFile] = (),
    ) -> None:
        """Notes a file that changes.

        Args:
            data: its bytes; None: they are too many to be held.
        """
        if fix is not None and fix.replaced:
            changes = fix.contents is not None
        elif data is not None:
            changes = bool(self._table.find(data)[0])
        else:
            found = read_tree(_below(self._source, path), wanted=self._table)
            changes = bool(found.seen)
        if changes:
            self.changes.append(ChangedName(path, tuple(inner)))

    def _rename(self, names: NameFinder) -> None:
        """Changes the names that follow a hash part in an escaped spelling, or tells them."""
        report = read_tree(self._source, wanted=self._table, report=True)
        for path in sorted({place.file for place in report.found if place.where == "contents"}):
            data = self.old(path)
            found = None if data is None else names.find(data)
            if found is None:
                continue
            fixes = not any(fixed.file == self._renamed(path) for fixed in self.files)
            replaced = found.contents is not None and fixes and path not in self._new
            if replaced:
                self._new[path] = found.contents
            where = ", ".join(map(str, found.offsets[:3]))
            reason = f"a name in another spelling follows the hash part at {where}"
            outcome = FixupOutcome(
                container=(),
                fixup="escaped-name",
                outcome="rewritten" if replaced else "noted",
                reason=reason if replaced else f"{reason}: it is still the old one",
            )
            self.files.append(
                FixedFile(file=self._renamed(path), outcomes=(outcome,), replaced=replaced)
            )

    def _recognised(self, path: bytes) -> tuple[Fixup, bytes | None] | None:
        """A file's fix-up and its bytes, None if it is too large; None if it is no fix-up's."""
        with open(_below(self._source, path), "rb", buffering=0) as stream:
            fixup = self._fixups.recognise(stream.read(HEAD), _name(self._source, path))
            size = os.fstat(stream.fileno()).st_size
            if fixup is None and not self._fixups.may_be_guarded(size):
                return None
            if fixup is None:
                stream.seek(0)
                return GUARDED, stream.read()
            if self._fixups.is_too_large(size):
                return fixup, None
            stream.seek(0)
            return fixup, stream.read()

    def _sum_again(self, staged: bytes, owner: tuple[int, int]) -> None:
        """Replaces checksums that are kept as text in the copy, of files that are in it."""
        files = {
            self._renamed(each.file): ChangedFile(
                name=printable(each.file), old=digests_of(_below(self._source, each.file))
            )
            for each in self.changes
        }
        repair = repair_tree(staged, files)
        # Of old names those are left that are the new ones, too; other files are named in vain.
        self.changes += [ChangedName(file) for file in repair.rewritten if file not in files]
        for file in repair.rewritten:
            if owner != (os.geteuid(), os.getegid()):
                os.chown(_below(staged, file), *owner)
        for file, places in groupby(repair.places, lambda place: place.file):
            outcomes = tuple(_of_checksum(place) for place in places)
            replaced = file in repair.rewritten
            self.files.append(FixedFile(file=file, outcomes=outcomes, replaced=replaced))
        self.files.sort(key=lambda fixed: fixed.file)

    def _renamed(self, path: bytes) -> bytes:
        return b"/".join(self._table.rewrite(part)[0] for part in path.split(b"/"))


@contextmanager
def _replaceable(place: bytes, top: bytes) -> Iterator[None]:
    """Lets a file of a tree be replaced; the top itself is in a directory outside of the tree."""
    if place == top:
        yield
        return
    directory = os.path.dirname(place)
    mode = stat.S_IMODE(os.lstat(directory).st_mode)
    os.chmod(directory, mode | stat.S_IWUSR)
    try:
        yield
    finally:
        os.chmod(directory, mode)
        os.utime(directory, ns=STORE_TIME)


def _make_file(
    place: bytes, contents: BinaryIO, like: os.stat_result, owner: tuple[int, int]
) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with open(os.open(place, flags, 0o600), "wb") as made:
        shutil.copyfileobj(contents, made)
        made.flush()
        if owner != (os.geteuid(), os.getegid()):
            os.fchown(made.fileno(), *owner)
        os.fchmod(made.fileno(), 0o555 if like.st_mode & stat.S_IXUSR else 0o444)
        os.utime(made.fileno(), ns=STORE_TIME)


def _below(top: bytes, path: bytes) -> bytes:
    return top + b"/" + path if path else top


def _name(top: bytes, path: bytes) -> bytes:
    return posixpath.basename(path or top)


def _leads_out(path: bytes) -> bool:
    return path.startswith(b"/") or path.split(b"/")[0] == b".."


def _regular(path: bytes) -> bytes | None:
    """A file's bytes; None if there is no such file, or a symlink leads there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno not in _NOWHERE:
            raise
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)  # no stream opens a directory
        return None
    with open(descriptor, "rb") as stream:
        return stream.read()


def _of_checksum(place: ChecksumPlace) -> FixupOutcome:
    what = f"the {place.algorithm} of '{place.of}' at {place.offset}"
    reasons = {
        "binary": f"{what} is left alone: the file is no text",
        "length": f"{what} is left alone: its escapes change its length",
        "cycle": f"{what} is left alone: it changes whenever that does",
    }
    return FixupOutcome(
        container=(),
        fixup="checksums",
        outcome="rewritten" if place.outcome == "replaced" else "left-alone",
        reason=reasons.get(place.outcome),
    )


@contextmanager
def _errors(top: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = error.strerror or str(error)
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise NoSpaceError(
                f"'{os.fsdecode(top)}' cannot be written, {said}: free some room",
                file=os.fsdecode(top),
            ) from error
        where = os.fsdecode(error.filename if error.filename is not None else top)
        raise TreeError(f"'{where}' cannot be looked into: {said}", file=where) from error
