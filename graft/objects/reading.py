"""Store objects read, wherever they are: searched, hashed, and seen as they would be rewritten."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.formats.window import Window
from graft.kernel import Table
from graft.kernel.place import Place
from graft.kernel.tree import TreeReport, read_tree, remove_tree
from graft.kernel.tree.unpacking import unpack_archive
from graft.objects.nar_stream import rewrite_archive
from graft.objects.references import WantedPaths
from graft.objects.search import DeepReport, DeepSearch, Findings, SumPlace, Unread
from graft.objects.unknown_types import table_of, unknown_files, unknown_of
from graft.store.api import Source
from graft.store.objects import StoreObject, TreeObject

if TYPE_CHECKING:
    from graft.formats.store_path import StorePath

Sink = Callable[[memoryview], object]


def read_object(
    item: StoreObject,
    *,
    table: Table | None = None,
    wanted: Table | None = None,
    sink: Sink,
    places: bool = False,
) -> TreeReport:
    """Reads an object, searches it, and hands over its NAR.

    Args:
        table: the references to rewrite before anything is searched or handed over.
        wanted: the references to look for.
        sink: takes the NAR in order, in pieces that are valid during the call only.
        places: list the places found, not only which of `wanted` were.

    Raises:
        TreeError: a file cannot be read.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
        NarOrderError: a NAR cannot be rewritten as a stream, for names change: see `as_tree`. The
            bytes that the sink was given are worthless.
    """
    if isinstance(item, TreeObject):
        return read_tree(item.tree, table=table, wanted=wanted, sink=sink, report=places)
    with item.open() as nar:
        window = Window(nar.readinto, sink)
        report = rewrite_archive(window, table or Table([]), wanted=wanted, places=places)
    return report.as_of_tree()


def search_object(
    item: StoreObject,
    search: DeepSearch,
    *,
    sink: Sink = lambda _: None,
    places: bool = False,
    written: WrittenPaths | None = None,
) -> DeepReport:
    """Reads an object, and looks for everything that leads to some paths, hidden or not.

    Args:
        sink: takes the NAR, as for `read_object`; it is over before containers are opened.
        places: list the places where hash parts stand, not only which.
        written: if the object was rewritten: in a tree their hash parts are looked for as well, and
            in containers the changed files are judged by their types.

    Raises: as `read_object`.
    """
    changed = None if written is None else written.new
    if isinstance(item, TreeObject):
        report = read_tree(
            item.tree,
            wanted=search.table if written is None else written.table,
            sink=sink,
            marks=search.marks,
            suspicions=search.suspicions,
            report=places,
        )
        return search.in_tree(item.tree, report, changed).with_report(report)
    with item.open() as nar:
        return search_archive(Window(nar.readinto, sink), search, places=places, changed=changed)


def search_archive(
    window: Window, search: DeepSearch, *, places: bool = False, changed: Table | None = None
) -> DeepReport:
    """The same for a NAR that comes as a stream.

    Args:
        window: at the beginning of the NAR, which is all of the stream.
        changed: as for `DeepSearch.in_tree`.

    Raises:
        BadFormatError: the stream is no NAR.
    """
    findings = Findings(search, changed)
    report = rewrite_archive(
        window, Table([]), wanted=search.table, places=places, findings=findings
    )
    return findings.with_report(report.as_of_tree())


@contextmanager
def as_tree(item: StoreObject) -> Iterator[TreeObject]:
    """The object as a tree; one that is a NAR lies in the temporary directory meanwhile.

    Raises:
        TreeError: that cannot be written. Else as `read_object`.
    """
    if isinstance(item, TreeObject):
        yield item
        return
    with temporary_tree() as tree, item.open() as nar:
        unpack_archive(nar.readinto, tree, owner=(os.geteuid(), os.getegid()))
        yield TreeObject(tree)


@contextmanager
def temporary_tree() -> Iterator[str]:
    """A place for a tree in the temporary directory; nothing is there, before and after."""
    with tempfile.TemporaryDirectory(prefix="graft-") as directory:
        tree = os.path.join(directory, "object")
        try:
            yield tree
        finally:
            remove_tree(tree)  # its directories are read-only


def object_hash(item: StoreObject, on_bytes: Callable[[int], object]) -> bytes:
    """SHA-256 of an object's NAR, 32 bytes.

    Args:
        on_bytes: called with the number of NAR bytes read since the last call; may raise to stop.

    Raises: as `read_object`.
    """
    digest = hashlib.sha256()

    def sink(chunk: memoryview) -> None:
        digest.update(chunk)
        on_bytes(len(chunk))

    read_object(item, sink=sink)
    return digest.digest()


def references_in(
    item: StoreObject, wanted: WantedPaths, on_bytes: Callable[[int], object]
) -> frozenset[StorePath]:
    """Which of the wanted paths an object refers to.

    Args:
        on_bytes: called with the number of NAR bytes read since the last call; may raise to stop.

    Raises: as `read_object`.
    """
    report = read_object(item, wanted=wanted.table, sink=lambda chunk: on_bytes(len(chunk)))
    return wanted.seen(report)


@dataclass(frozen=True, slots=True)
class Searched:
    """The result of searching one object.

    Attributes:
        report: the walk's report.
        places: where wanted paths were found, hidden or not.
        unread: the files that could not be looked into.
        digest: SHA-256 of its NAR, if that was asked for.
        sums: where old digests of changed files were found.
    """

    report: TreeReport
    places: Sequence[Place]
    unread: Sequence[Unread]
    digest: bytes | None
    sums: Sequence[SumPlace] = ()


class WrittenPaths:
    """New paths whose hash parts a graft has written into others.

    Args:
        paths: paths of the result.
        search: a search for other hash parts, which are looked for too.

    Attributes:
        paths: as given.
        hash_parts: their hash parts.
        new: finds these.
        table: finds these, and the hash parts that the search looks for.
    """

    def __init__(self, paths: Iterable[StorePath], search: ObjectSearch) -> None:
        self.paths = frozenset(paths)
        self.hash_parts = frozenset(path.hash_part for path in self.paths)
        self.new = table_of(sorted(self.hash_parts))
        self.table = table_of([*sorted(search.hash_parts), *sorted(self.hash_parts)])


class ObjectSearch:
    """Objects of a store searched for some paths, each read once however often it is asked for.

    Args:
        store: where the objects are.
        wanted: the search for the wanted paths.

    Attributes:
        hash_parts: the hash parts that are looked for.
    """

    def __init__(self, store: Source, wanted: DeepSearch) -> None:
        self._store = store
        self._wanted = wanted
        self._wanted_paths = frozenset(wanted.paths)
        self.hash_parts = frozenset(wanted.hash_parts)
        self._known: dict[StorePath, Searched] = {}
        self._unknown: dict[StorePath, Sequence[bytes]] = {}

    def know(
        self,
        path: StorePath,
        report: TreeReport,
        seen: Collection[StorePath],
        unread: Sequence[Unread],
    ) -> None:
        """Takes for read an object that another reader has searched, for more than the wanted
        paths.

        Args:
            seen: the paths that were found, hidden or not; if one is wanted, its places are not
                known, and the object is read again.
            unread: the files that could not be looked into.
        """
        if not self._wanted_paths.intersection(seen):
            self._known[path] = Searched(report, (), unread, None)

    def search(
        self,
        path: StorePath,
        *,
        with_digest: bool,
        on_bytes: Callable[[int], object],
        written: WrittenPaths | None = None,
    ) -> Searched:
        """Reads an object, unless the answer is known.

        Args:
            with_digest: whether a tree's digest is wanted; a NAR from a cache is checked while it
                is read.
            on_bytes: called with the number of NAR bytes read since the last call; may raise to
                stop.
            written: if the object was rewritten; then `unknown_files` of a tree reads no more.

        Raises: as `read_object`.
        """
        item = self._store.store_object(path)
        with_digest = with_digest and isinstance(item, TreeObject)
        known = self._known.get(path)
        if known is not None and (known.digest is not None or not with_digest):
            return known
        digest = hashlib.sha256()

        def sink(chunk: memoryview) -> None:
            if with_digest:
                digest.update(chunk)
            on_bytes(len(chunk))

        found = search_object(item, self._wanted, sink=sink, places=True, written=written)
        standing = found.report.found
        if written is not None and isinstance(item, TreeObject):
            new = [place for place in standing if place.hash_part in written.hash_parts]
            self._unknown[path] = sorted({*unknown_of(item, new), *found.unknown})
            standing = tuple(place for place in standing if place.hash_part in self.hash_parts)
        elif written is not None:
            inside = unknown_files(item, written.paths)
            self._unknown[path] = sorted({*inside, *found.unknown})
        self._known[path] = Searched(
            found.report,
            (*standing, *found.hidden),
            found.unread,
            digest.digest() if with_digest else None,
            found.sums,
        )
        return self._known[path]

    def unknown_files(self, path: StorePath, written: WrittenPaths) -> Sequence[bytes]:
        """The changed files of a rewritten object whose types are not known; read once.

        Args, raises: as for `graft.objects.unknown_types.unknown_files`.
        """
        if path not in self._unknown:
            item = self._store.store_object(path)
            inside = search_object(item, self._wanted, written=written).unknown
            self._unknown[path] = sorted({*unknown_files(item, written.paths), *inside})
        return self._unknown[path]
