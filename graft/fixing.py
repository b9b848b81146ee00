"""The fix-ups at work on one tree: what is hidden in its files found, or rewritten in a copy of it.

A copy is made by `copy_tree`, which changes references as they stand, and tells which files have
the registry's marks. Each of these is then made from its original by its fix-up, and takes the
place of what was copied; if it is to be left alone, its original bytes do.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from graft.errors import TreeError
from graft.fixups import HEAD, Fixup, Outcome, Place, Registry
from graft.kernel import Table
from graft.tree import read_tree

_STORE_TIME = (1_000_000_000, 1_000_000_000)  # ns; every file in a store is from that second

Detached = Callable[[bytes], Sequence[tuple[bytes, bytes]]]
"""Files of a name that are in other trees: (old, new) bytes of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedInto:
    """What is hidden in one file.

    Attributes:
        file: its path from the top of the tree.
        places: where the references inside of it are; those that stand in its own bytes are not
            among them.
        outcomes: what could not be looked into, and why.
    """

    file: bytes
    places: tuple[Place, ...]
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedFile:
    """What the fix-ups did with one file.

    Attributes:
        file: its path from the top of the tree, in new names.
        outcomes: of what is in it, and of itself, which comes last.
        replaced: whether it is other than plain rewriting left it.
    """

    file: bytes
    outcomes: tuple[Outcome, ...]
    replaced: bool


def look_inside(
    top: bytes, marked: Iterable[bytes], registry: Registry, table: Table
) -> list[LookedInto]:
    """Finds the references that are hidden in a tree's files.

    Args:
        top: of the tree, without a slash at its end.
        marked: the files that have the registry's marks, as a TreeReport has them.
        table: what is looked for.

    Raises:
        TreeError: a file cannot be read.
    """
    found = []
    for path in marked:
        with _errors(top):
            recognised = _recognised(top, path, registry)
        if recognised is None:
            continue
        fixup, data = recognised
        if data is None:
            outcome = _too_large(fixup, registry)
            found.append(LookedInto(file=path, places=(), outcomes=(outcome,)))
            continue
        places, outcomes = registry.references(data, _name(top, path), table)
        inside = tuple(place for place in places if place.container)
        if inside or outcomes:
            found.append(LookedInto(file=path, places=inside, outcomes=tuple(outcomes)))
    return found


def fix_tree(
    source: bytes,
    staged: bytes,
    table: Table,
    marked: Sequence[bytes],
    registry: Registry,
    *,
    owner: tuple[int, int],
    detached: Detached | None = None,
) -> list[FixedFile]:
    """Rewrites what is hidden in the files of a copied tree.

    What is made has the metadata of a store. Files that are hard links to each other stay so.

    Args:
        source: the original's top, without a slash at its end.
        staged: the copy's, made by `copy_tree` with the same table; nobody else knows it yet.
        marked: the original's files that have the registry's marks, as that copy's TreeReport
            has them.
        owner: user and group of what is made.
        detached: debugging information in other outputs, whose sums programs hold; if given, all
            programs are looked at.

    Returns:
        The files that fix-ups had something to do with, by their paths. If one was replaced, the
        copy's NAR is another than the one that `copy_tree` gave out.

    Raises:
        TreeError: a file cannot be read or written.
    """
    more = registry.more_marks(marked if detached is None else (*marked, b".debug"))
    if more is not None:
        marked = sorted({*marked, *read_tree(source, marks=more).marked})
    with _errors(staged):
        return _Fixing(source, staged, table, marked, registry, owner, detached).all()


class _Fixing:
    """One tree; the Siblings of its files."""

    def __init__(
        self,
        source: bytes,
        staged: bytes,
        table: Table,
        marked: Sequence[bytes],
        registry: Registry,
        owner: tuple[int, int],
        detached: Detached | None,
    ) -> None:
        self._source, self._staged = source, staged
        self._table, self._registry = table, registry
        self._marked = dict.fromkeys(marked)
        self._owner, self._detached = owner, detached
        self._begun: set[bytes] = set()
        self._fixed: list[FixedFile] = []
        self._twins: dict[tuple[int, int], bytes] = {}  # a file made of each original

    def all(self) -> list[FixedFile]:
        for path in self._marked:
            self._fix(path)
        return sorted(self._fixed, key=lambda fixed: fixed.file)

    # ---- as fix-ups see it --------------------------------------------------------------------

    def old(self, path: bytes) -> bytes | None:
        """A file as it was."""
        return None if _leads_out(path) else _regular(_below(self._source, path))

    def new(self, path: bytes) -> bytes | None:
        """A file as it is now; as plain rewriting left it, if it is the one that asks."""
        if _leads_out(path):
            return None
        if path in self._marked:
            self._fix(path)
        return _regular(_below(self._staged, self._renamed(path)))

    def detached(self, name: bytes) -> list[tuple[bytes, bytes]]:
        """Files of a name, in this tree and in others."""
        found = list(self._detached(name)) if self._detached else []
        for path in self._marked:
            if posixpath.basename(path) == name:
                old, new = self.old(path), self.new(path)
                found += [(old, new)] if old is not None and new is not None else []
        return found

    def unchanged(self, path: bytes) -> bool:
        """Whether a file is known to be as it was without reading it."""
        if _leads_out(path) or path in self._marked:
            return False
        try:
            old = os.lstat(_below(self._source, path))
            return os.path.samestat(old, os.lstat(_below(self._staged, self._renamed(path))))
        except OSError:
            return False

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
            self._finish(path, None, [_too_large(fixup, self._registry)])
        else:
            name = path or _name(self._source, path)
            new, outcomes = self._registry.rewrite(data, name, self._table, self)
            self._finish(path, new, outcomes)

    def _finish(self, path: bytes, new: bytes | None, outcomes: list[Outcome]) -> None:
        """Lets a file be that; None: what its original is."""
        origin = _below(self._source, path)
        new_path = self._renamed(path)
        place = _below(self._staged, new_path)
        same = os.path.samestat(os.lstat(origin), os.lstat(place))
        replaced = not same if new is None else new != _regular(place)
        if replaced:
            self._replace(origin, place, new)
        if replaced or outcomes:
            self._fixed.append(
                FixedFile(file=new_path, outcomes=tuple(outcomes), replaced=replaced)
            )

    def _replace(self, origin: bytes, place: bytes, new: bytes | None) -> None:
        directory = os.path.dirname(place)
        mode = stat.S_IMODE(os.lstat(directory).st_mode)
        inside = place != self._staged  # else the directory is none of the tree's
        if inside:
            os.chmod(directory, mode | stat.S_IWUSR)
        try:
            os.unlink(place)
            self._make(origin, place, new)
        finally:
            if inside:
                os.chmod(directory, mode)
                os.utime(directory, ns=_STORE_TIME)

    def _make(self, origin: bytes, place: bytes, new: bytes | None) -> None:
        with open(origin, "rb") as original:
            status = os.fstat(original.fileno())
            identity = status.st_dev, status.st_ino
            twin = self._twins.get(identity)
            if twin is not None and (new is None or _regular(twin) == new):
                os.link(twin, place)
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with open(os.open(place, flags, 0o600), "wb") as made:
                if new is None:
                    shutil.copyfileobj(original, made)
                else:
                    made.write(new)
                made.flush()
                if self._owner != (os.geteuid(), os.getegid()):
                    os.fchown(made.fileno(), *self._owner)
                os.fchmod(made.fileno(), 0o555 if status.st_mode & stat.S_IXUSR else 0o444)
                os.utime(made.fileno(), ns=_STORE_TIME)
        self._twins[identity] = place

    def _renamed(self, path: bytes) -> bytes:
        return b"/".join(self._table.rewrite(part)[0] for part in path.split(b"/"))


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
    with open(_below(top, path), "rb") as stream:
        head = stream.read(HEAD)
        fixup = registry.recognise(head, _name(top, path))
        if fixup is None:
            return None
        if os.fstat(stream.fileno()).st_size > registry.limits.size:
            return fixup, None
        return fixup, head + stream.read()


def _too_large(fixup: Fixup, registry: Registry) -> Outcome:
    return Outcome(
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
        where = os.fsdecode(error.filename if error.filename is not None else top)
        said = (error.strerror or str(error)).lower()
        raise TreeError(f"'{where}' cannot be looked into: {said}", file=where) from error
