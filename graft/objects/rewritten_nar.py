"""The NAR of an object after its rewrite, from any kind of store; nothing is made."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from graft.errors import NarOrderError
from graft.formats.window import Window
from graft.kernel.tree import FileCounts, TreeReport, copy_tree, read_tree
from graft.objects.nar_fixups import TreeNeededError
from graft.objects.nar_stream import rewrite_archive
from graft.objects.reading import Sink, as_tree, search_object, temporary_tree
from graft.objects.search import DeepSearch, Findings
from graft.store.objects import NarObject, StoreObject, TreeObject

if TYPE_CHECKING:
    from graft.formats.hash_modulo import HashModulo
    from graft.formats.store_path import StorePath
    from graft.objects.file_fixups import ChangedName, FixedFile
    from graft.objects.object_rewrite import Rewriting
    from graft.objects.tree_fixups import Fixes


@dataclass(frozen=True, slots=True)
class Reading:
    """The references and hashes of an object after its rewrite.

    Attributes:
        report: the walk's report.
        original_size: the size of the original's NAR in bytes.
        found: the paths looked for that it leads to, hidden or not.
        fixed: the files that fix-ups had something to do with.
        changed: the original's files that change.
    """

    report: TreeReport
    original_size: int
    found: frozenset[StorePath] = frozenset()
    fixed: Sequence[FixedFile] = ()
    changed: Sequence[ChangedName] = ()


def read_rewritten(
    original: StoreObject,
    rewriting: Rewriting,
    begin: Callable[[], Sink],
    *,
    search: DeepSearch | None = None,
) -> Reading:
    """Reads an object as if it were rewritten, and hands over its NAR.

    An object that is a NAR is rewritten while it passes, by fix-ups too; one of its files at a time
    is held in memory for them. It lies in the temporary directory meanwhile only if:

    - changed names stand in another order;
    - a fix-up has to have the bytes of other files, whose sums a file holds, and one of them
      changes; examples are RECORD, `.cargo-checksum.json`, `.gnu_debuglink` and the symbols,
      Python's byte code with the hash of its source;
    - a signature comes behind a file that changes;
    - a hash part stands without its name, which may follow in an escaped spelling, and changes;
    - a file changes that is no text and of no fix-up's type: it may keep a sum of itself;
    - `checksums` is switched on, since any file may hold one.

    Args:
        begin: makes the sink that takes the NAR in order; called again where the bytes handed over
            turn out to be worthless.
        search: the search of the new bytes; None: they are not searched.

    Raises:
        TreeError: a file cannot be read, or not be written in the temporary directory.
        FixupError: one cannot be rewritten, and must not be left alone.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
    """
    if isinstance(original, TreeObject):
        return _read_tree(original, rewriting, begin, search)
    if not rewriting.sums:
        try:
            return _read_nar(original, rewriting, begin(), search)
        except (NarOrderError, TreeNeededError):
            pass
    with as_tree(original) as at:
        return _read_unpacked(at, rewriting, begin, search)


def _read_nar(
    original: NarObject, rewriting: Rewriting, sink: Sink, search: DeepSearch | None
) -> Reading:
    fixups = rewriting.nar_fixups()
    findings = None if search is None else Findings(search)
    with original.open() as nar:
        report = rewrite_archive(
            Window(nar.readinto, sink),
            rewriting.table,
            wanted=None if search is None else search.table,
            findings=findings,
            fixups=fixups,
        )
    if report.bare and rewriting.renames:
        raise TreeNeededError  # an escaped name may follow
    fixups.check()  # not before all of the NAR has turned out to be as promised
    tree = report.as_of_tree()
    found: frozenset[StorePath] = frozenset()
    if search is not None and findings is not None:
        found = search.seen(findings.with_report(tree))
    files = sorted(fixups.files, key=lambda fixed: fixed.file)
    return Reading(tree, report.original_size, found, files, fixups.changes)


def _read_tree(
    original: TreeObject,
    rewriting: Rewriting,
    begin: Callable[[], Sink],
    search: DeepSearch | None,
) -> Reading:
    """Hands over the result of plain rewriting of a tree, and begins again if a fix-up replaces."""
    wanted = None if search is None else search.table
    report = read_tree(
        original.tree,
        table=rewriting.table,
        wanted=wanted,
        sink=begin(),
        marks=rewriting.marks,
    )
    size = report.nar_size  # references never change a length
    fixes = rewriting.fixes(original.tree, report.marked, bare=report.bare)
    if fixes.replaces:
        return _read_staged(original, rewriting, fixes, size, begin, search, links=False)
    if search is None:
        return Reading(report, size, fixed=fixes.files, changed=fixes.changes)
    # The hidden references are the old ones, for only references in the open were changed.
    hidden = search_object(original, search)
    return Reading(
        report, size, search.seen(replace(hidden, report=report)), fixes.files, fixes.changes
    )


def _read_unpacked(
    at: TreeObject,
    rewriting: Rewriting,
    begin: Callable[[], Sink],
    search: DeepSearch | None,
) -> Reading:
    """Hands over the NAR of a tree in which a fix-up replaces files, as is to be expected."""
    report = read_tree(at.tree, table=rewriting.table, marks=rewriting.marks)
    fixes = rewriting.fixes(at.tree, report.marked, bare=report.bare)
    return _read_staged(at, rewriting, fixes, report.nar_size, begin, search, links=True)


def _read_staged(
    at: TreeObject,
    rewriting: Rewriting,
    fixes: Fixes,
    size: int,
    begin: Callable[[], Sink],
    search: DeepSearch | None,
    *,
    links: bool,
) -> Reading:
    with temporary_tree() as staged:
        copied = patched_report(copy_tree(at.tree, staged, rewriting.table, links=links), fixes)
        fixes.place(os.fsencode(staged), owner=(os.geteuid(), os.getegid()))
        nar_size = read_tree(staged, sink=begin()).nar_size
        found = found_paths(TreeObject(staged), search)
        return Reading(replace(copied, nar_size=nar_size), size, found, fixes.files, fixes.changes)


def rewritten_hash(
    original: StoreObject, rewriting: Rewriting, on_bytes: Callable[[int], object]
) -> bytes:
    """SHA-256 of the NAR that an object becomes, 32 bytes.

    Args:
        on_bytes: called with the number of NAR bytes read since the last call; may raise to stop.

    Raises: as `read_rewritten`.
    """
    hashing = NarHashing(None, on_bytes)

    def begin() -> Sink:
        nonlocal hashing
        hashing = NarHashing(None, on_bytes)
        return hashing

    read_rewritten(original, rewriting, begin)
    return hashing.nar_hash


def found_paths(item: StoreObject, search: DeepSearch | None) -> frozenset[StorePath]:
    """The paths looked for that an object leads to, hidden or not."""
    return frozenset() if search is None else search.seen(search_object(item, search))


def patched_report(report: TreeReport, fixes: Fixes) -> TreeReport:
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


class NarHashing:
    """A sink that hashes the NAR it takes.

    Args:
        new_modulo: makes the object that hashes it modulo self-references; None: no such hash is
            made.
        on_bytes: called with the number of bytes taken since the last call; may raise to stop.
    """

    def __init__(
        self, new_modulo: Callable[[], HashModulo] | None, on_bytes: Callable[[int], object]
    ) -> None:
        self._digest = hashlib.sha256()
        self._modulo = None if new_modulo is None else new_modulo()
        self._on_bytes = on_bytes

    def __call__(self, chunk: memoryview) -> None:
        """Takes the next bytes."""
        self._digest.update(chunk)
        if self._modulo is not None:
            self._modulo.update(chunk)
        self._on_bytes(len(chunk))

    @property
    def nar_hash(self) -> bytes:
        """SHA-256 of the NAR, 32 bytes."""
        return self._digest.digest()

    @property
    def content_hash(self) -> bytes:
        """That hash, or the one modulo self-references, if it is made."""
        return self.nar_hash if self._modulo is None else self._modulo.digest()
