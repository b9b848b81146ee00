"""Store objects read, wherever they are: searched, hashed, and seen as they would be rewritten."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from graft.archive import rewrite_archive
from graft.errors import NarOrderError
from graft.kernel import Table
from graft.references import WantedPaths
from graft.store.objects import StoreObject, TreeObject
from graft.tree import TreeReport, read_tree, remove_tree
from graft.unpacking import unpack_archive
from graft.window import Window

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
        table: what to rewrite before anything is searched or handed over.
        wanted: what to look for.
        sink: takes the NAR in order, in pieces that are valid during the call only.
        places: list the places found, not only which of `wanted` were.

    Raises:
        TreeError: a file cannot be read.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read, or is another.
        NarOrderError: a NAR cannot be rewritten as a stream, for names change: see `as_tree`. What
            the sink was given is worthless.
    """
    if isinstance(item, TreeObject):
        return read_tree(item.tree, table=table, wanted=wanted, sink=sink, report=places)
    with item.open() as nar:
        window = Window(nar.readinto, sink)
        report = rewrite_archive(window, table or Table([]), wanted=wanted, places=places)
    return report.as_of_tree()


@contextmanager
def as_tree(item: StoreObject) -> Iterator[TreeObject]:
    """The object as a tree; one that is a NAR lies in the temporary directory meanwhile.

    Raises:
        TreeError: that cannot be written. Else as `read_object`.
    """
    if isinstance(item, TreeObject):
        yield item
        return
    with tempfile.TemporaryDirectory(prefix="graft-") as directory, item.open() as nar:
        tree = os.path.join(directory, "object")
        unpack_archive(nar.readinto, tree, owner=(os.geteuid(), os.getegid()))
        try:
            yield TreeObject(tree)
        finally:
            remove_tree(tree)  # its directories are read-only


def object_hash(
    item: StoreObject, on_bytes: Callable[[int], object], table: Table | None = None
) -> bytes:
    """SHA-256 of an object's NAR, 32 bytes, as it is or as it would be once rewritten.

    Args:
        on_bytes: called with the number of NAR bytes read since the last call; may raise to stop.
        table: what to rewrite.

    Raises: as `read_object`.
    """

    def of(item: StoreObject) -> bytes:
        digest = hashlib.sha256()

        def sink(chunk: memoryview) -> None:
            digest.update(chunk)
            on_bytes(len(chunk))

        read_object(item, table=table, sink=sink)
        return digest.digest()

    try:
        return of(item)
    except NarOrderError:
        with as_tree(item) as tree:
            return of(tree)


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
