"""The fix-ups at work on one tree: what is hidden in its files found, or rewritten in a copy of it.

A copy is made by `copy_tree`, which changes references as they stand, and tells which files have
the registry's marks. Each of these is then made from its original by its fix-up, and takes the
place of what was copied; if it is to be left alone, its original bytes do.
"""

from __future__ import annotations

import errno
import os
import posixpath
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from itertools import groupby
from typing import BinaryIO

from graft.errors import FixupError, NoSpaceError, TreeError
from graft.fixups import HEAD, Fixup, FixupOutcome, Registry
from graft.fixups.fragments import FragmentFinder
from graft.formats.file_name import printable
from graft.kernel import Table
from graft.kernel.tree import read_tree
from graft.objects.checksums import ChangedFile, ChecksumPlace, digests_of, repair_tree

_STORE_TIME = (1_000_000_000, 1_000_000_000)  # ns; every file in a store is from that second


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFile:
    """What the fix-ups did with one file.

    Attributes:
        file: its path from the top of the tree, in new names.
        outcomes: of what is in it, and of itself, which comes last.
        replaced: whether it is other than plain rewriting left it.
    """

    file: bytes
    outcomes: tuple[FixupOutcome, ...]
    replaced: bool


class Fixes:
    """What the fix-ups make of one tree's files, all of it known before anything is written.

    Args:
        source: the tree's top, without a slash at its end.
        table: what is rewritten.
        marked: the files that have the registry's marks, as a TreeReport has them.
        fragments: for the same; None: what compilers have cut up stays.

    Attributes:
        files: those that fix-ups had something to do with, by their paths.
        unshared: sizes of those that plain rewriting leaves as they are, old and new, in bytes.

    Raises:
        TreeError: a file cannot be read.
        FixupError: one cannot be rewritten, and must not be left alone.
    """

    def __init__(
        self,
        source: bytes,
        table: Table,
        marked: Iterable[bytes],
        registry: Registry,
        *,
        fragments: FragmentFinder | None = None,
    ) -> None:
        self._source, self._table, self._registry = source, table, registry
        self._fragments = fragments
        self._marked = dict.fromkeys(marked)
        self._by_name: dict[bytes, list[bytes]] = {}
        for path in self._marked:
            self._by_name.setdefault(posixpath.basename(path), []).append(path)
        self._begun: set[bytes] = set()
        # By the old path, where plain rewriting makes another; None: what the original is.
        self._new: dict[bytes, bytes | None] = {}
        self.files: list[FixedFile] = []
        self.unshared: list[tuple[int, int]] = []
        with _errors(source):
            for path in self._marked:
                self._fix(path)
        self.files.sort(key=lambda fixed: fixed.file)

    @property
    def replaces(self) -> bool:
        """Whether a file may be other than plain rewriting makes it."""
        return bool(self._new) or self._registry.sums

    def place(self, staged: bytes, *, owner: tuple[int, int]) -> None:
        """Puts what was made into a copy of the tree.

        What is made has the metadata of a store. Files that are hard links to each other stay so.

        Args:
            staged: the copy's top, made by `copy_tree` with the same table; nobody else knows it.
            owner: user and group of what is made.

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
        """A file as it is going to be; as plain rewriting makes it, if it is the one that asks."""
        if path in self._marked:
            self._fix(path)
        new = self._new.get(path)
        if new is not None:
            return new
        old = self.old(path)
        return old if old is None or path in self._new else self._table.rewrite(old)[0]

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
        recognised = _recognised(self._source, path, self._registry)
        if recognised is None:
            return
        fixup, data = recognised
        if data is None:
            outcomes = [_too_large(fixup, self._registry)]
            replaced = not fixup.plain_without
            if replaced:
                self._new[path] = None
        else:
            name = path or _name(self._source, path)
            new, outcomes = self._registry.rewrite(data, name, self._table, self, self._fragments)
            if not outcomes and not fixup.opens:
                return  # it is as plain rewriting makes it
            replaced = False
            # What is noted alone is as plain rewriting makes it, unless references were put back.
            if fixup.opens or new == data or any(each.outcome != "noted" for each in outcomes):
                plain = self._table.rewrite(data)[0]
                replaced = new != plain
                if replaced:
                    self._new[path] = new
                if replaced and plain == data:
                    self.unshared.append((len(data), len(new)))
        for outcome in outcomes:
            if outcome.fatal:
                where = "/".join([printable(_below(self._source, path)), *outcome.container])
                raise FixupError(
                    f"'{where}' must not be left as it is, and cannot be rewritten: "
                    f"{outcome.reason}; cut the path off, or leave the file alone on purpose with "
                    f"--fixup no-{outcome.fixup}",
                    file=where,
                    fixup=outcome.fixup,
                )
        if replaced or outcomes:
            fixed = FixedFile(file=self._renamed(path), outcomes=tuple(outcomes), replaced=replaced)
            self.files.append(fixed)

    def _sum_again(self, staged: bytes, owner: tuple[int, int]) -> None:
        """Replaces checksums that are kept as text in the copy, of files that are in it."""
        report = read_tree(self._source, wanted=self._table, report=True)
        changed = {found.file for found in report.found if found.where == "contents"}
        files = {
            self._renamed(path): ChangedFile(
                name=printable(path), old=digests_of(_below(self._source, path))
            )
            for path in sorted(changed.union(self._new))
        }
        repair = repair_tree(staged, files)
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
    """Lets a file of a tree be replaced; the top itself is in a directory that is none of its."""
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
        os.utime(directory, ns=_STORE_TIME)


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
        os.utime(made.fileno(), ns=_STORE_TIME)


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
    except OSError:
        return None
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return stream.read()


def _recognised(top: bytes, path: bytes, registry: Registry) -> tuple[Fixup, bytes | None] | None:
    """A file's fix-up and its bytes, None if it is too large; None if it is no fix-up's."""
    with open(_below(top, path), "rb", buffering=0) as stream:
        fixup = registry.recognise(stream.read(HEAD), _name(top, path))
        if fixup is None:
            return None
        if os.fstat(stream.fileno()).st_size > registry.limits.size:
            return fixup, None
        stream.seek(0)
        return fixup, stream.read()


def _of_checksum(place: ChecksumPlace) -> FixupOutcome:
    what = f"the {place.algorithm} of '{place.of}' at {place.offset}"
    reasons = {
        "binary": f"{what} is left alone: the file is no text",
        "cycle": f"{what} is left alone: it changes whenever that does",
    }
    return FixupOutcome(
        container=(),
        fixup="checksums",
        outcome="rewritten" if place.outcome == "replaced" else "left-alone",
        reason=reasons.get(place.outcome),
    )


def _too_large(fixup: Fixup, registry: Registry) -> FixupOutcome:
    return FixupOutcome(
        container=(),
        fixup=fixup.name,
        outcome="left-alone",
        reason=f"it is larger than {registry.limits.size} bytes",
    )


@contextmanager
def _errors(top: bytes) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise NoSpaceError(
                f"'{os.fsdecode(top)}' cannot be written, the file system is full: free some room",
                file=os.fsdecode(top),
            ) from error
        where = os.fsdecode(error.filename if error.filename is not None else top)
        said = (error.strerror or str(error)).lower()
        raise TreeError(f"'{where}' cannot be looked into: {said}", file=where) from error
