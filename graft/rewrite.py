"""One store object made from another: the bytes changed, and the NAR hash, in one pass."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from graft.errors import CorruptOriginalError
from graft.formats.nar import symlink_archive
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.references import WantedPaths
from graft.tree import TreeReport, copy_tree, read_tree

_STORE_TIME = 1_000_000_000  # ns; every file in a store is from the second after the epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class RewrittenObject:
    """What came of a rewrite.

    Attributes:
        nar_hash: SHA-256 of the new object's NAR, 32 bytes.
        nar_size: its length in bytes.
        found: the wanted paths whose hash parts are in the new object's bytes.
        tree: what was done to its files; None for an alias.
    """

    nar_hash: bytes
    nar_size: int
    found: frozenset[StorePath]
    tree: TreeReport | None


def rewrite_table(
    path: StorePath, new_path: StorePath, references: Mapping[StorePath, StorePath]
) -> Table:
    """Exactly what changes in a path's bytes: its moved references, and its own name."""
    pairs = [*sorted(references.items()), (path, new_path)]
    return Table([(old.encode(), new.encode()) for old, new in pairs])


def rewrite_object(
    source: str,
    target: str,
    table: Table,
    *,
    wanted: WantedPaths,
    links: bool,
    owner: tuple[int, int],
    on_bytes: Callable[[int], object],
) -> RewrittenObject:
    """Copies an object's tree with its references rewritten.

    Args:
        source: the original's tree.
        target: where the new tree is made; nothing is there.
        table: what is rewritten.
        wanted: what is looked for in the new bytes.
        links: whether unchanged files may be hard links to the original's.
        owner: user and group of what is made.
        on_bytes: called with the number of NAR bytes done since the last call; may raise to stop.

    Raises:
        TreeError: the tree cannot be read or made; nothing of it is left.
    """
    digest = hashlib.sha256()

    def sink(chunk: memoryview) -> None:
        digest.update(chunk)
        on_bytes(len(chunk))

    report = copy_tree(
        source, target, table, wanted=wanted.table, sink=sink, links=links, owner=owner
    )
    return RewrittenObject(
        nar_hash=digest.digest(),
        nar_size=report.nar_size,
        found=wanted.seen(report),
        tree=report,
    )


def make_alias(
    target: str, leads_to: StorePath, store_dir: StoreDir, *, owner: tuple[int, int]
) -> RewrittenObject:
    """Makes the object of an alias: a symlink to a store path."""
    text = os.fsencode(store_dir.path(leads_to))
    os.symlink(text, target)
    if owner != (os.geteuid(), os.getegid()):
        os.chown(target, *owner, follow_symlinks=False)
    os.utime(target, ns=(_STORE_TIME, _STORE_TIME), follow_symlinks=False)
    nar = symlink_archive(text)
    return RewrittenObject(
        nar_hash=hashlib.sha256(nar).digest(),
        nar_size=len(nar),
        found=frozenset(),
        tree=None,
    )


def tree_hash(tree: str, on_bytes: Callable[[int], object]) -> bytes:
    """SHA-256 of a tree's NAR, 32 bytes."""
    digest = hashlib.sha256()

    def sink(chunk: memoryview) -> None:
        digest.update(chunk)
        on_bytes(len(chunk))

    read_tree(tree, sink=sink)
    return digest.digest()


def corrupt_original(path: StorePath, store_dir: StoreDir) -> CorruptOriginalError:
    """The error for an original that is not what was registered."""
    full = store_dir.path(path)
    return CorruptOriginalError(
        f"the bytes of '{full}' are not those it was registered with: repair it with 'nix-store "
        f"--repair-path {full}' first",
        path=full,
    )
