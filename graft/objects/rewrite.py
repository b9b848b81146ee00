"""One store object made from another: the bytes changed, and the NAR hash, in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace

from graft.errors import CorruptOriginalError
from graft.formats.hash_modulo import HashModulo
from graft.formats.nar import symlink_archive
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel.tree import FileCounts, TreeReport, copy_tree, read_tree, remove_tree
from graft.kernel.tree.state import STORE_TIME
from graft.kernel.tree.unpacking import unpack_archive
from graft.objects.file_fixups import ChangedName, FixedFile
from graft.objects.object_rewrite import Rewriting
from graft.objects.reading import Sink, read_object
from graft.objects.rewritten_nar import (
    NarHashing,
    Reading,
    found_paths,
    patched_report,
    read_rewritten,
)
from graft.objects.search import DeepSearch
from graft.store.caches.nar_files import NarFile, NarWriter
from graft.store.objects import NarObject, StoreObject, TreeObject


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenObject:
    """The result of a rewrite.

    Attributes:
        nar_hash: SHA-256 of the new object's NAR, 32 bytes.
        content_hash: the hash of the NAR, or, if it was asked for, the one modulo self-references.
        nar_size: its length in bytes.
        original_size: the size of the original's NAR, or of the bytes that were read for it.
        found: the paths looked for that the new object leads to, hidden or not; nothing of a copy.
        tree: the counts of its files and their changes; None for an alias.
        fixed: the files that fix-ups had something to do with.
        changed: the original's files that are other ones now; None: they are not known.
    """

    nar_hash: bytes
    content_hash: bytes
    nar_size: int
    original_size: int
    found: frozenset[StorePath]
    tree: TreeReport | None
    fixed: tuple[FixedFile, ...] = ()
    changed: tuple[ChangedName, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTree:
    """A tree that is to be made.

    Attributes:
        tree: its path; nothing is there.
        unpacked: where an original that is a NAR may lie meanwhile, best on the same file system;
            nothing is there, before and after.
        owner: user and group of the new tree.
        links: whether unchanged files may be hard links to the original's.
    """

    tree: str
    unpacked: str
    owner: tuple[int, int]
    links: bool = True


def write_tree(
    original: StoreObject,
    new: NewTree,
    rewriting: Rewriting | None,
    *,
    search: DeepSearch | None,
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None = None,
) -> RewrittenObject:
    """Makes an object as a tree: a copy of another with its references rewritten.

    Args:
        new: where it is made.
        rewriting: the changes; None: nothing changes.
        search: the search of the new bytes; None: they are not searched.
        on_bytes: called with the number of NAR bytes done since the last call; may raise to stop.
        new_modulo: makes the object that hashes the new NAR modulo self-references; None: no such
            hash is made.

    Raises:
        TreeError: the tree cannot be read or made; nothing of it is left.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
    """
    if isinstance(original, NarObject):
        with original.open() as nar:
            unpack_archive(nar.readinto, new.unpacked, owner=new.owner)
        new = replace(new, links=True)  # links to new files do no harm
        try:
            return _copy(new.unpacked, new, rewriting, search, on_bytes, new_modulo)
        finally:
            remove_tree(new.unpacked)
    return _copy(original.tree, new, rewriting, search, on_bytes, new_modulo)


def _copy(
    source: str,
    new: NewTree,
    rewriting: Rewriting | None,
    search: DeepSearch | None,
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None,
) -> RewrittenObject:
    hashing = NarHashing(new_modulo, on_bytes)
    if rewriting is None:
        report = copy_tree(source, new.tree, None, sink=hashing, links=new.links, owner=new.owner)
        return _made(hashing, report, report.nar_size)
    report = copy_tree(
        source,
        new.tree,
        rewriting.table,
        sink=hashing,
        marks=rewriting.marks,
        links=new.links,
        owner=new.owner,
    )
    original_size = report.nar_size  # references never change a length
    try:
        fixes = rewriting.fixes(source, report.marked, bare=report.bare)
        if fixes.replaces:
            fixes.place(os.fsencode(new.tree), owner=new.owner)
            # The same bytes once more: they were done before.
            hashing = NarHashing(new_modulo, lambda _: on_bytes(0))
            nar_size = read_tree(new.tree, sink=hashing).nar_size
            report = replace(patched_report(report, fixes), nar_size=nar_size)
        found = found_paths(TreeObject(new.tree), search)
    except BaseException:
        remove_tree(new.tree)
        raise
    made = _made(hashing, report, original_size, found=found, fixed=fixes.files)
    return replace(made, changed=tuple(fixes.changes))


def _made(
    hashing: NarHashing,
    report: TreeReport,
    original_size: int,
    *,
    found: frozenset[StorePath] = frozenset(),
    fixed: Sequence[FixedFile] = (),
) -> RewrittenObject:
    """The result for the tree whose NAR was hashed."""
    return RewrittenObject(
        nar_hash=hashing.nar_hash,
        content_hash=hashing.content_hash,
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
            begun.close()  # the archive begun before is worthless
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
            changed=tuple(reading.changed),
        )
        return made, file


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
    os.utime(target, ns=STORE_TIME, follow_symlinks=False)
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
    """The error for an original that differs from its registration."""
    full = store_dir.path(path)
    return CorruptOriginalError(
        f"the bytes of '{full}' are not those it was registered with: repair it with 'nix-store "
        f"--repair-path {full}' first",
        path=full,
    )
