"""Files of a rewritten object that were changed, and whose types have no known rules."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable

from graft.errors import TreeError
from graft.fixups.file_types import TypeProbe
from graft.formats.file_name import printable
from graft.formats.nar_reader import (
    Contents,
    DirectoryEnd,
    Entry,
    Regular,
    Symlink,
    read_archive,
)
from graft.formats.store_path import StorePath
from graft.formats.window import Window
from graft.kernel import Table
from graft.kernel.place import Place
from graft.kernel.tree import read_tree
from graft.objects.file_windows import WINDOW
from graft.store.objects import StoreObject, TreeObject


def unknown_files(
    item: StoreObject,
    new_paths: Collection[StorePath],
    on_bytes: Callable[[int], object] = lambda _: None,
) -> list[bytes]:
    """The changed files of unknown types, relative to the object's top, in order.

    Args:
        item: the rewritten object.
        new_paths: whose hash parts were written into it; a file that holds one was changed.
        on_bytes: called with the number of bytes read since the last call; may raise to stop.

    Raises:
        TreeError: a file cannot be read.
        CorruptCacheError, CacheError, BadFormatError: the NAR cannot be read.
    """
    table = table_of(path.hash_part for path in new_paths)
    if not isinstance(item, TreeObject):
        with item.open() as nar:
            return _in_archive(Window(nar.readinto, lambda data: on_bytes(len(data))), table)
    report = read_tree(item.tree, wanted=table, report=True)
    on_bytes(report.bytes_read)
    return unknown_of(item, report.found)


def unknown_of(item: TreeObject, places: Iterable[Place]) -> list[bytes]:
    """The same of a tree, where the places of the new hash parts are known.

    Raises:
        TreeError: a file cannot be read.
    """
    changed = {place.file for place in places if place.where == "contents"}
    return [file for file in sorted(changed) if not _is_known(os.fsencode(item.tree), file)]


def table_of(hash_parts: Iterable[str]) -> Table:
    """Finds some hash parts."""
    return Table([(part.encode(), None) for part in dict.fromkeys(hash_parts)])


def _is_known(top: bytes, file: bytes) -> bool:
    path = os.path.join(top, file) if file else top
    probe = TypeProbe(os.path.basename(path))
    try:
        with open(path, "rb", buffering=0) as stream:
            while probe.known is None:
                data = stream.read(WINDOW)
                probe.more(data, final=not data)
    except OSError as error:
        shown = printable(path)
        raise TreeError(f"'{shown}' cannot be read: {error.strerror}", path=shown) from error
    return probe.known


def _in_archive(window: Window, table: Table) -> list[bytes]:
    unknown: list[bytes] = []
    names: list[bytes] = []
    probe, carry, changed = TypeProbe(b""), b"", False
    for event in read_archive(window):
        if isinstance(event, Entry):
            names.append(bytes(event.name))
        elif isinstance(event, Regular):
            probe, carry, changed = TypeProbe(names[-1] if names else b""), b"", False
        elif isinstance(event, Contents):
            data = bytes(event.data)
            event.taken = len(data)
            probe.more(data, final=event.final)
            hits, cut = table.find(carry + data, event.final)
            changed = changed or bool(hits)
            carry = (carry + data)[cut:]
            if event.final:
                if changed and not probe.known:
                    unknown.append(b"/".join(names))
                del names[-1:]
        elif isinstance(event, Symlink | DirectoryEnd):
            del names[-1:]
    window.pass_on()
    return sorted(unknown)
