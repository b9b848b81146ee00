"""One store object made from another: the bytes changed, and the NAR hash, in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from typing import Protocol, Self

from graft.errors import CorruptOriginalError
from graft.fixups import Registry, registered
from graft.fixups.fragments import FragmentFinder
from graft.formats.hash_modulo import HashModulo
from graft.formats.nar import symlink_archive
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.kernel.tree import FileCounts, TreeReport, copy_tree, read_tree, remove_tree
from graft.kernel.tree.unpacking import unpack_archive
from graft.objects.reading import Sink, as_tree, read_object, search_object, temporary_tree
from graft.objects.search import DeepSearch
from graft.objects.tree_fixups import FixedFile, Fixes
from graft.store.caches.nar_files import NarFile, NarWriter
from graft.store.objects import NarObject, StoreObject, TreeObject

_STORE_TIME = 1_000_000_000  # ns; every file in a store is from the second after the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenObject:
    """What came of a rewrite.

    Attributes:
        nar_hash: SHA-256 of the new object's NAR, 32 bytes.
        content_hash: that hash, or, if it was asked for, the one modulo self-references.
        nar_size: its length in bytes.
        original_size: that of the original's, or of what was read for it.
        found: the paths looked for that the new object leads to, hidden or not; nothing of a copy.
        tree: what was done to its files; None for an alias.
        fixed: the files that fix-ups had something to do with.
    """

    nar_hash: bytes
    content_hash: bytes
    nar_size: int
    original_size: int
    found: frozenset[StorePath]
    tree: TreeReport | None
    fixed: tuple[FixedFile, ...] = ()


class ObjectRewrite(Protocol):
    """One object that becomes another, as a plan has it; `graft.plan.Rewrite` says of what."""

    @property
    def path(self) -> StorePath:
        """The original."""

    @property
    def new_path(self) -> StorePath:
        """The name of the new object."""

    @property
    def references(self) -> Mapping[StorePath, StorePath]:
        """The references that move, and where they move to."""

    @property
    def fixups(self) -> tuple[str, ...]:
        """The switches of its fix-ups, as for `graft.fixups.registered`."""


class Rewriting:
    """Exactly what changes in one object's bytes: its moved references, and its own name.

    Args:
        path: the object's.
        new_path: what the new one is called.
        references: those of its references that move.
        registry: of the fix-ups that see to what is hidden in its files.

    Attributes:
        table: what is rewritten as it stands.
        marks: what files have that a fix-up may rewrite.
    """

    def __init__(
        self,
        path: StorePath,
        new_path: StorePath,
        references: Mapping[StorePath, StorePath],
        registry: Registry,
        store_dir: StoreDir,
    ) -> None:
        pairs = [*sorted(references.items()), (path, new_path)]
        entries = [(old.encode(), new.encode()) for old, new in pairs]
        self.table = Table(entries)
        self.marks = registry.marks
        self._registry = registry
        self._fragments = FragmentFinder(entries, os.fsencode(str(store_dir)))

    @classmethod
    def of(cls, rewrite: ObjectRewrite, store_dir: StoreDir) -> Self:
        """The changes in the bytes of one path of a plan.

        Raises:
            UsageError: a fix-up is not installed here.
        """
        registry = registered(rewrite.fixups)
        return cls(rewrite.path, rewrite.new_path, rewrite.references, registry, store_dir)

    def fixes(self, tree: str, marked: Iterable[bytes]) -> Fixes:
        """What fix-ups make of a tree's files.

        Args:
            marked: those that have the `marks`.

        Raises:
            TreeError: a file cannot be read.
            FixupError: one cannot be rewritten, and must not be left alone.
        """
        top = os.fsencode(tree)
        return Fixes(top, self.table, marked, self._registry, fragments=self._fragments)


def write_tree(
    original: StoreObject,
    target: str,
    rewriting: Rewriting | None,
    *,
    unpacked: str,
    search: DeepSearch | None,
    links: bool,
    owner: tuple[int, int],
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None = None,
) -> RewrittenObject:
    """Makes an object as a tree: a copy of another with its references rewritten.

    Args:
        target: where the new tree is made; nothing is there.
        rewriting: what changes; None: nothing.
        unpacked: where an original that is a NAR may lie meanwhile, best on the target's file
            system; nothing is there, before and after.
        search: what is looked for in the new bytes; None: nothing.
        links: whether unchanged files may be hard links to the original's.
        owner: user and group of what is made.
        on_bytes: called with the number of NAR bytes done since the last call; may raise to stop.
        new_modulo: makes what hashes the new NAR modulo self-references; None: nothing does.

    Raises:
        TreeError: the tree cannot be read or made; nothing of it is left.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
    """
    if isinstance(original, NarObject):
        with original.open() as nar:
            unpack_archive(nar.readinto, unpacked, owner=owner)
        try:
            # Of what is new itself, links do no harm.
            return _copy(
                unpacked, target, rewriting, search, owner, on_bytes, new_modulo, links=True
            )
        finally:
            remove_tree(unpacked)
    return _copy(original.tree, target, rewriting, search, owner, on_bytes, new_modulo, links=links)


def _copy(
    source: str,
    target: str,
    rewriting: Rewriting | None,
    search: DeepSearch | None,
    owner: tuple[int, int],
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None,
    *,
    links: bool,
) -> RewrittenObject:
    hashing = _Hashing(new_modulo, on_bytes)
    if rewriting is None:
        report = copy_tree(source, target, None, sink=hashing, links=links, owner=owner)
        return hashing.made(report, report.nar_size)
    report = copy_tree(
        source,
        target,
        rewriting.table,
        sink=hashing,
        marks=rewriting.marks,
        links=links,
        owner=owner,
    )
    original_size = report.nar_size  # references never change a length
    try:
        fixes = rewriting.fixes(source, report.marked)
        if fixes.replaces:
            fixes.place(os.fsencode(target), owner=owner)
            # Of the same bytes, once more: they were done before.
            hashing = _Hashing(new_modulo, lambda _: on_bytes(0))
            nar_size = read_tree(target, sink=hashing).nar_size
            report = replace(_patched(report, fixes), nar_size=nar_size)
        found = _found(TreeObject(target), search)
    except BaseException:
        remove_tree(target)
        raise
    return hashing.made(report, original_size, found=found, fixed=fixes.files)


def _found(item: StoreObject, search: DeepSearch | None) -> frozenset[StorePath]:
    return frozenset() if search is None else search.seen(search_object(item, search))


def _patched(report: TreeReport, fixes: Fixes) -> TreeReport:
    """The report of a copy some of whose files fix-ups have replaced."""
    count = len(fixes.unshared)
    files = report.files
    linked = min(count, files.linked)
    reflinked = min(count - linked, files.reflinked)
    copied = count - linked - reflinked
    before = sum(old for old, _ in fixes.unshared)
    after = sum(new for _, new in fixes.unshared)
    return replace(
        report,
        files=FileCounts(
            patched=files.patched + count,
            linked=files.linked - linked,
            reflinked=files.reflinked - reflinked,
            copied=files.copied - copied,
        ),
        bytes_shared=report.bytes_shared - (0 if copied else before),
        bytes_written=report.bytes_written + after - (before if copied else 0),
    )


class _Hashing:
    """A sink that hashes what it takes."""

    def __init__(
        self, new_modulo: Callable[[], HashModulo] | None, on_bytes: Callable[[int], object]
    ) -> None:
        self._digest = hashlib.sha256()
        self._modulo = None if new_modulo is None else new_modulo()
        self._on_bytes = on_bytes

    def __call__(self, chunk: memoryview) -> None:
        self._digest.update(chunk)
        if self._modulo is not None:
            self._modulo.update(chunk)
        self._on_bytes(len(chunk))

    @property
    def nar_hash(self) -> bytes:
        return self._digest.digest()

    def made(
        self,
        report: TreeReport,
        original_size: int,
        *,
        found: frozenset[StorePath] = frozenset(),
        fixed: Sequence[FixedFile] = (),
    ) -> RewrittenObject:
        """What came of the tree whose NAR it took."""
        return RewrittenObject(
            nar_hash=self.nar_hash,
            content_hash=self.nar_hash if self._modulo is None else self._modulo.digest(),
            nar_size=report.nar_size,
            original_size=original_size,
            found=found,
            tree=report,
            fixed=tuple(fixed),
        )


def write_archive(
    original: StoreObject,
    new_archive: Callable[[], AbstractContextManager[NarWriter]],
    rewriting: Rewriting | None,
    *,
    search: DeepSearch | None,
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None = None,
) -> tuple[RewrittenObject, NarFile]:
    """Makes an object as a NAR in a cache: a copy of another with its references rewritten.

    Args:
        new_archive: begins a new NAR, of which nothing is left unless it is finished.
        rewriting, wanted, on_bytes, new_modulo: as for `write_tree`.

    Raises:
        TreeError: the original cannot be read.
        CorruptCacheError, CacheError, BadFormatError: its NAR cannot be read, or is another; or
            the new one cannot be written.
    """
    with ExitStack() as begun:
        archive: NarWriter
        modulo: HashModulo | None

        def begin() -> Sink:
            nonlocal archive, modulo
            begun.close()  # what was begun before is worthless
            archive = begun.enter_context(new_archive())
            modulo = None if new_modulo is None else new_modulo()
            return sink

        def sink(chunk: memoryview) -> None:
            archive.write(chunk)
            if modulo is not None:
                modulo.update(chunk)
            on_bytes(len(chunk))

        if rewriting is None:
            report = read_object(original, sink=begin())
            reading = Reading(report, report.nar_size)
        else:
            reading = read_rewritten(original, rewriting, begin, search=search)
        file = archive.finish()
        report = reading.report
        patched = report.files.patched
        made = RewrittenObject(
            nar_hash=file.nar_hash,
            content_hash=file.nar_hash if modulo is None else modulo.digest(),
            nar_size=file.nar_size,
            original_size=reading.original_size,
            found=reading.found,
            tree=replace(  # in a NAR every file is written
                report,
                files=FileCounts(patched=patched, copied=report.regular_files - patched),
                bytes_written=report.bytes_read,
            ),
            fixed=tuple(reading.fixed),
        )
        return made, file


@dataclass(frozen=True, slots=True)
class Reading:
    """What was seen in an object as it is going to be.

    Attributes:
        report: of the walk.
        original_size: of the original's NAR, in bytes.
        found: the paths looked for that it leads to, hidden or not.
        fixed: the files that fix-ups had something to do with.
    """

    report: TreeReport
    original_size: int
    found: frozenset[StorePath] = frozenset()
    fixed: Sequence[FixedFile] = ()


def read_rewritten(
    original: StoreObject,
    rewriting: Rewriting,
    begin: Callable[[], Sink],
    *,
    search: DeepSearch | None = None,
) -> Reading:
    """Reads an object as it is going to be, and hands over its NAR.

    One that is a NAR lies in the temporary directory meanwhile: fix-ups look at files in any order.

    Args:
        begin: makes what takes the NAR in order; called again where what was handed over turns
            out to be worthless, since only then fix-ups are known.
        search: what to look for.

    Raises:
        TreeError: a file cannot be read, or not be written in the temporary directory.
        FixupError: one cannot be rewritten, and must not be left alone.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
    """
    table, marks = rewriting.table, rewriting.marks
    wanted = None if search is None else search.table
    with as_tree(original) as at:
        report = read_tree(at.tree, table=table, wanted=wanted, sink=begin(), marks=marks)
        size = report.nar_size  # references never change a length
        fixes = rewriting.fixes(at.tree, report.marked)
        if fixes.replaces:
            with temporary_tree() as staged:
                links = isinstance(original, NarObject)
                copied = _patched(copy_tree(at.tree, staged, table, links=links), fixes)
                fixes.place(os.fsencode(staged), owner=(os.geteuid(), os.getegid()))
                nar_size = read_tree(staged, sink=begin()).nar_size
                found = _found(TreeObject(staged), search)
                return Reading(replace(copied, nar_size=nar_size), size, found, fixes.files)
        if search is None:
            return Reading(report, size, fixed=fixes.files)
        # What is hidden is as it was, for nothing else was changed but what stands in the open.
        hidden = search_object(at, search)
        return Reading(report, size, search.seen(replace(hidden, report=report)), fixes.files)


def rewritten_hash(
    original: StoreObject, rewriting: Rewriting, on_bytes: Callable[[int], object]
) -> bytes:
    """SHA-256 of the NAR that an object becomes, 32 bytes.

    Args:
        on_bytes: called with the number of NAR bytes read since the last call; may raise to stop.

    Raises: as `read_rewritten`.
    """
    hashing = _Hashing(None, on_bytes)

    def begin() -> Sink:
        nonlocal hashing
        hashing = _Hashing(None, on_bytes)
        return hashing

    read_rewritten(original, rewriting, begin)
    return hashing.nar_hash


def alias_archive(leads_to: StorePath, store_dir: StoreDir) -> bytes:
    """The NAR of an alias: a symlink to a store path."""
    return symlink_archive(os.fsencode(store_dir.path(leads_to)))


def make_alias(
    target: str, leads_to: StorePath, store_dir: StoreDir, *, owner: tuple[int, int]
) -> RewrittenObject:
    """Makes the tree of an alias."""
    text = os.fsencode(store_dir.path(leads_to))
    os.symlink(text, target)
    if owner != (os.geteuid(), os.getegid()):
        os.chown(target, *owner, follow_symlinks=False)
    os.utime(target, ns=(_STORE_TIME, _STORE_TIME), follow_symlinks=False)
    nar = alias_archive(leads_to, store_dir)
    digest = hashlib.sha256(nar).digest()
    return RewrittenObject(
        nar_hash=digest,
        content_hash=digest,
        nar_size=len(nar),
        original_size=len(nar),
        found=frozenset(),
        tree=None,
    )


def corrupt_original(path: StorePath, store_dir: StoreDir) -> CorruptOriginalError:
    """The error for an original that is not what was registered."""
    full = store_dir.path(path)
    return CorruptOriginalError(
        f"the bytes of '{full}' are not those it was registered with: repair it with 'nix-store "
        f"--repair-path {full}' first",
        path=full,
    )
