"""One store object made from another: the bytes changed, and the NAR hash, in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace

from graft.errors import CorruptOriginalError, NarOrderError
from graft.fixing import FixedFile, Fixes
from graft.fixups import Registry
from graft.formats.hash_modulo import HashModulo
from graft.formats.nar import symlink_archive
from graft.formats.store_path import StoreDir, StorePath
from graft.fragments import FragmentFinder
from graft.kernel import Table
from graft.reading import Sink, as_tree, read_object, temporary_tree
from graft.references import WantedPaths
from graft.store.nar_files import NarFile, NarWriter
from graft.store.objects import NarObject, StoreObject
from graft.tree import FileCounts, TreeReport, copy_tree, read_tree, remove_tree
from graft.unpacking import unpack_archive

_STORE_TIME = 1_000_000_000  # ns; every file in a store is from the second after the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenObject:
    """What came of a rewrite.

    Attributes:
        nar_hash: SHA-256 of the new object's NAR, 32 bytes.
        content_hash: that hash, or, if it was asked for, the one modulo self-references.
        nar_size: its length in bytes.
        original_size: that of the original's, or of what was read for it.
        found: the wanted paths whose hash parts are in the new object's bytes.
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
        whole: whether fix-ups have to do with the whole tree.
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
        self.whole = registry.sums
        self._registry = registry
        self._fragments = FragmentFinder(entries, os.fsencode(str(store_dir)))

    def fixes(self, tree: str, marked: Iterable[bytes]) -> Fixes:
        """What fix-ups make of a tree's files.

        Args:
            marked: those that have the `marks`.

        Raises:
            TreeError: a file cannot be read.
        """
        top = os.fsencode(tree)
        return Fixes(top, self.table, marked, self._registry, fragments=self._fragments)


def write_tree(
    original: StoreObject,
    target: str,
    rewriting: Rewriting | None,
    *,
    unpacked: str,
    wanted: WantedPaths,
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
        wanted: what is looked for in the new bytes.
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
                unpacked, target, rewriting, wanted, owner, on_bytes, new_modulo, links=True
            )
        finally:
            remove_tree(unpacked)
    return _copy(original.tree, target, rewriting, wanted, owner, on_bytes, new_modulo, links=links)


def _copy(
    source: str,
    target: str,
    rewriting: Rewriting | None,
    wanted: WantedPaths,
    owner: tuple[int, int],
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None,
    *,
    links: bool,
) -> RewrittenObject:
    hashing = _Hashing(new_modulo, on_bytes)
    report = copy_tree(
        source,
        target,
        None if rewriting is None else rewriting.table,
        wanted=wanted.table,
        sink=hashing,
        marks=None if rewriting is None else rewriting.marks,
        links=links,
        owner=owner,
    )
    fixed: list[FixedFile] = []
    original_size = report.nar_size
    if rewriting is not None and (report.marked or rewriting.whole):
        try:
            fixes = rewriting.fixes(source, report.marked)
            fixed = fixes.files
            if fixes.replaces:
                fixes.place(os.fsencode(target), owner=owner)
                # Of the same bytes, once more: they were done before.
                hashing = _Hashing(new_modulo, lambda _: on_bytes(0))
                again = read_tree(target, wanted=wanted.table, sink=hashing)
                report = replace(_patched(report, fixes), nar_size=again.nar_size, seen=again.seen)
        except BaseException:
            remove_tree(target)
            raise
    return RewrittenObject(
        nar_hash=hashing.nar_hash,
        content_hash=hashing.content_hash,
        nar_size=report.nar_size,
        original_size=original_size,
        found=wanted.seen(report),
        tree=report,
        fixed=tuple(fixed),
    )


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

    @property
    def content_hash(self) -> bytes:
        return self.nar_hash if self._modulo is None else self._modulo.digest()


def write_archive(
    original: StoreObject,
    new_archive: Callable[[], AbstractContextManager[NarWriter]],
    rewriting: Rewriting | None,
    *,
    wanted: WantedPaths,
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
            reading = _as_it_is(read_object(original, wanted=wanted.table, sink=begin()))
        else:
            reading = read_rewritten(original, rewriting, begin, wanted=wanted.table)
        file = archive.finish()
        report = reading.report
        patched = report.files.patched
        made = RewrittenObject(
            nar_hash=file.nar_hash,
            content_hash=file.nar_hash if modulo is None else modulo.digest(),
            nar_size=file.nar_size,
            original_size=reading.original_size,
            found=wanted.seen(report),
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
        fixed: the files that fix-ups had something to do with.
        original_size: of the original's NAR, in bytes.
    """

    report: TreeReport
    fixed: Sequence[FixedFile]
    original_size: int


def _as_it_is(report: TreeReport, fixed: Sequence[FixedFile] = ()) -> Reading:
    return Reading(report, fixed, report.nar_size)  # references never change a length


def read_rewritten(
    original: StoreObject,
    rewriting: Rewriting,
    begin: Callable[[], Sink],
    *,
    wanted: Table | None = None,
) -> Reading:
    """Reads an object as it is going to be, and hands over its NAR.

    Args:
        begin: makes what takes the NAR in order; called again where what was handed over turns
            out to be worthless, since only then fix-ups and the order of entries are known.
        wanted: what to look for.

    Raises:
        TreeError: a file cannot be read, or not be written in the temporary directory.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
    """
    table, marks = rewriting.table, rewriting.marks
    report = None
    with suppress(NarOrderError):  # only a tree can be sorted
        report = read_object(original, table=table, wanted=wanted, sink=begin(), marks=marks)
        if not report.marked and not rewriting.whole:
            return _as_it_is(report)
    with as_tree(original) as at:
        marked = read_tree(at.tree, marks=marks).marked if report is None else report.marked
        fixes = rewriting.fixes(at.tree, marked)
        if not fixes.replaces:
            if report is None:
                report = read_tree(at.tree, table=table, wanted=wanted, sink=begin())
            return _as_it_is(report, fixes.files)
        with temporary_tree() as staged:
            copied = _patched(
                copy_tree(at.tree, staged, table, links=isinstance(original, NarObject)), fixes
            )
            fixes.place(os.fsencode(staged), owner=(os.geteuid(), os.getegid()))
            again = read_tree(staged, wanted=wanted, sink=begin())
        report = replace(copied, nar_size=again.nar_size, seen=again.seen)
        return Reading(report, fixes.files, copied.nar_size)


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
