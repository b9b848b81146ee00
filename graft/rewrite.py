"""One store object made from another: the bytes changed, and the NAR hash, in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from graft.errors import CorruptOriginalError, NarOrderError
from graft.formats.hash_modulo import HashModulo
from graft.formats.nar import symlink_archive
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.reading import as_tree, read_object
from graft.references import WantedPaths
from graft.store.nar_files import NarFile, NarWriter
from graft.store.objects import NarObject, StoreObject
from graft.tree import FileCounts, TreeReport, copy_tree, remove_tree
from graft.unpacking import unpack_archive

_STORE_TIME = 1_000_000_000  # ns; every file in a store is from the second after the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenObject:
    """What came of a rewrite.

    Attributes:
        nar_hash: SHA-256 of the new object's NAR, 32 bytes.
        content_hash: that hash, or, if it was asked for, the one modulo self-references.
        nar_size: its length in bytes.
        found: the wanted paths whose hash parts are in the new object's bytes.
        tree: what was done to its files; None for an alias.
    """

    nar_hash: bytes
    content_hash: bytes
    nar_size: int
    found: frozenset[StorePath]
    tree: TreeReport | None


def rewrite_table(
    path: StorePath, new_path: StorePath, references: Mapping[StorePath, StorePath]
) -> Table:
    """Exactly what changes in a path's bytes: its moved references, and its own name."""
    pairs = [*sorted(references.items()), (path, new_path)]
    return Table([(old.encode(), new.encode()) for old, new in pairs])


def write_tree(
    original: StoreObject,
    target: str,
    table: Table,
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
        table: what is rewritten.
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
            return _copy(unpacked, target, table, wanted, owner, on_bytes, new_modulo, links=True)
        finally:
            remove_tree(unpacked)
    return _copy(original.tree, target, table, wanted, owner, on_bytes, new_modulo, links=links)


def _copy(
    source: str,
    target: str,
    table: Table,
    wanted: WantedPaths,
    owner: tuple[int, int],
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None,
    *,
    links: bool,
) -> RewrittenObject:
    digest = hashlib.sha256()
    modulo = None if new_modulo is None else new_modulo()

    def sink(chunk: memoryview) -> None:
        digest.update(chunk)
        if modulo is not None:
            modulo.update(chunk)
        on_bytes(len(chunk))

    report = copy_tree(
        source, target, table, wanted=wanted.table, sink=sink, links=links, owner=owner
    )
    return RewrittenObject(
        nar_hash=digest.digest(),
        content_hash=(modulo or digest).digest(),
        nar_size=report.nar_size,
        found=wanted.seen(report),
        tree=report,
    )


def write_archive(
    original: StoreObject,
    new_archive: Callable[[], AbstractContextManager[NarWriter]],
    table: Table,
    *,
    wanted: WantedPaths,
    on_bytes: Callable[[int], object],
    new_modulo: Callable[[], HashModulo] | None = None,
) -> tuple[RewrittenObject, NarFile]:
    """Makes an object as a NAR in a cache: a copy of another with its references rewritten.

    Args:
        new_archive: begins a new NAR, of which nothing is left unless it is finished.
        table, wanted, on_bytes, new_modulo: as for `write_tree`.

    Raises:
        TreeError: the original cannot be read.
        CorruptCacheError, CacheError, BadFormatError: its NAR cannot be read, or is another; or
            the new one cannot be written.
    """

    def write(original: StoreObject) -> tuple[RewrittenObject, NarFile]:
        modulo = None if new_modulo is None else new_modulo()
        with new_archive() as archive:

            def sink(chunk: memoryview) -> None:
                archive.write(chunk)
                if modulo is not None:
                    modulo.update(chunk)
                on_bytes(len(chunk))

            report = read_object(original, table=table, wanted=wanted.table, sink=sink)
            file = archive.finish()
        patched = report.files.patched
        made = RewrittenObject(
            nar_hash=file.nar_hash,
            content_hash=file.nar_hash if modulo is None else modulo.digest(),
            nar_size=file.nar_size,
            found=wanted.seen(report),
            tree=replace(  # in a NAR every file is written
                report,
                files=FileCounts(patched=patched, copied=report.regular_files - patched),
                bytes_written=report.bytes_read,
            ),
        )
        return made, file

    try:
        return write(original)
    except NarOrderError:
        # Names that change would break the order of the entries: only a tree can be sorted.
        with as_tree(original) as tree:
            return write(tree)


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
