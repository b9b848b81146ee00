"""`graft scan`: which references stand in files, and where."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from graft.cli.output import Bars, brief_paths, print_document, print_note, print_table
from graft.cli.path_arguments import PathNamespace
from graft.cli.settings import Settings, common_options
from graft.errors import BadFormatError, BadStorePathError, TreeError, UsageError
from graft.formats.file_name import printable
from graft.quantities import counted

if TYPE_CHECKING:
    from graft.cli.tables import NamedCopy
    from graft.formats.store_path import StoreDir, StorePath
    from graft.kernel.place import Place
    from graft.objects.search import Unread
    from graft.store.api import Source
    from graft.store.objects import StoreObject


@click.command("scan", epilog="Example: graft scan --closure ./result --for openssl")
@click.argument("paths", metavar="PATH...", nargs=-1)
@click.option(
    "--for",
    "wanted",
    metavar="PATH|HASH",
    multiple=True,
    help="Look for these only, instead of every path the store knows.",
)
@click.option(
    "--closure",
    "roots",
    metavar="ROOT",
    multiple=True,
    help="Look into every path of ROOT's closure.",
)
@click.option(
    "--deep",
    is_flag=True,
    help="Look into containers (compressed files and archives, in each other), and for store paths "
    "that compilers have cut up or that are spelled otherwise: base64, hexadecimal, escapes, "
    "reversed.",
)
@click.option(
    "--like",
    "originals",
    metavar="OLD",
    multiple=True,
    help="With --deep: look for copies of OLD's libraries, too, in files that do not refer to OLD.",
)
@common_options
@click.pass_obj
def command(
    settings: Settings,
    paths: tuple[str, ...],
    wanted: tuple[str, ...],
    roots: tuple[str, ...],
    deep: bool,
    originals: tuple[str, ...],
) -> int:
    """Show every reference in PATHs: files, directories, store paths or links to them.

    Without --for these are the hash parts of all valid paths, and all hash parts after the store
    directory and a slash. ASCII, UTF-16 and UTF-32 are read. Status 1: no reference is found.
    """
    from graft.cli.tables import copy_document, place_name, print_copies

    if originals and not deep:
        raise UsageError("--like needs --deep: no reference leads to a copy; give both")
    if not paths and not roots:
        raise click.UsageError("name the things to scan: PATHs, or --closure ROOT")
    settings.start_log()
    # Hash parts and store paths speak for themselves: then no store is needed.
    plain = [_plain(text) for text in wanted]
    with ExitStack() as stack:

        @functools.cache
        def opened() -> Source:
            store: Source = stack.enter_context(settings.open_store())
            return store

        store = opened() if not wanted or roots or originals or None in plain else None
        names: PathNamespace | None = None
        if store is not None:
            names = PathNamespace(store)
            if roots:
                starts = list(map(names.path, roots))
                names = PathNamespace.of_closure(store, starts, "the closure")
                paths = (*paths, *_closure_paths(store, starts))
        found, unread = _scan(settings, store, names, opened, paths, wanted, deep)
        copies = list(_copies(settings, opened, paths, originals))
    if settings.json:
        documents = [_document(name, place, full) for name, place, full in found]
        copied = {"copies": [copy_document(*each) for each in copies]} if originals else {}
        closed = {"unread": [_closed(name, each) for name, each in unread]} if deep else {}
        print_document({"version": 1, "references": documents, **closed, **copied})
    elif found:
        shown: Callable[[str], str] = str if settings.verbosity else brief_paths
        print_table(
            ["file", "offset", "in", "encoding", "reference"],
            [
                [
                    shown(place_name(name, place.file, place.container)),
                    str(place.offset),
                    place.where,
                    place.encoding,
                    shown(full or place.hash_part),
                ]
                for name, place, full in found
            ],
            right=["offset"],
        )
    if unread and not settings.json:
        for name, each in unread:
            print_note(
                f"not looked into: {place_name(name, each.file, each.container)}: "
                f"{each.fixup}: {each.reason}",
                settings,
            )
    if copies and not settings.json:
        print_copies(copies)
    counts = [counted(len(found), "reference")]
    if originals:
        counts.append(f"{len(copies):,} {'copy' if len(copies) == 1 else 'copies'}")
    print_note(", ".join(counts), settings)
    return 0 if found or copies else 1


def _scan(
    settings: Settings,
    store: Source | None,
    names: PathNamespace | None,
    opened: Callable[[], Source],
    arguments: Iterable[str],
    wanted: Iterable[str],
    deep: bool,
) -> tuple[list[tuple[str, Place, str | None]], list[tuple[str, Unread]]]:
    """An argument's name, a place in it, and the full path that it leads to; and unread files."""
    from graft.formats.store_path import StorePath
    from graft.objects.scan import scan_object

    known: set[StorePath] = set()
    hash_parts: set[str] = set()
    store_dir: StoreDir | None = None
    for text in wanted:
        path = _plain(text)
        if path is None and names is not None:
            known.update(names.outputs(text).outputs)
        elif isinstance(path, StorePath):
            known.add(path)
        elif path is not None:
            hash_parts.add(path)
    if not wanted and store is not None:
        known, store_dir = store.valid_paths(), store.store_dir
    found: list[tuple[str, Place, str | None]] = []
    unread: list[tuple[str, Unread]] = []
    paths = {path.hash_part: path for path in known}
    with Bars(settings)("scan", None) as on_bytes:
        for argument in arguments:
            name, item = _place(argument, opened)
            scan = scan_object(
                item,
                known=known,
                hash_parts=hash_parts,
                store_dir=store_dir,
                deep=deep,
                on_bytes=on_bytes,
            )
            unread += [(name, each) for each in scan.unread]
            for place in scan.places:
                path = paths.get(place.hash_part)
                full = store.store_dir.path(path) if path and store else path
                found.append((name, place, full))
    return found, unread


def _closure_paths(store: Source, starts: Iterable[StorePath]) -> Iterator[str]:
    """The full paths of a closure, in the order of their names."""
    from graft.plan.closure import Closure

    closure = Closure.of(store, starts)
    yield from map(store.store_dir.path, sorted(closure.infos, key=lambda path: path.name))


def _copies(
    settings: Settings,
    opened: Callable[[], Source],
    arguments: Iterable[str],
    originals: Iterable[str],
) -> Iterator[NamedCopy]:
    """Copies of the libraries of some paths, in files that do not refer to them."""
    if not originals:
        return
    from graft.objects.library_copies import CopyFinder

    store = opened()
    finder = CopyFinder(store, list(dict.fromkeys(map(PathNamespace(store).path, originals))))
    with Bars(settings)("copies", None) as on_bytes:
        for argument in arguments:
            name, item = _place(argument, opened)
            try:
                path = store.resolve(argument)
            except BadStorePathError:
                references: set[StorePath] = set()
            else:
                infos = store.path_infos([path])
                references = {path, *(infos[path].references if infos else ())}
            for old, copy in finder.in_object(item, references, on_bytes):
                yield name, copy, store.store_dir.path(old)


def _plain(text: str) -> StorePath | str | None:
    """A hash part, or the path of a base name or full path; None if only a store could tell."""
    from graft.formats.store_path import HASH_PART_LENGTH, StorePath

    try:
        if len(text) == HASH_PART_LENGTH:
            return StorePath(f"{text}-x").hash_part
        return StorePath(text.rsplit("/", 1)[-1])
    except BadFormatError:
        return None


def _place(argument: str, opened: Callable[[], Source]) -> tuple[str, StoreObject]:
    """How an argument is called, and where it is: a link into the store is the path it leads to."""
    from graft.store.objects import TreeObject

    if os.path.lexists(argument) and not os.path.islink(argument):
        return argument, TreeObject(argument)
    store = opened()
    try:
        path = store.resolve(argument)
    except BadStorePathError:
        if os.path.lexists(argument):
            return argument, TreeObject(argument)
        if "/" in argument:
            raise TreeError(f"there is no '{argument}'; check the path", path=argument) from None
        path = PathNamespace(store).path(argument)
    return store.store_dir.path(path), store.store_object(path)


def _closed(name: str, unread: Unread) -> dict[str, object]:
    return {
        "path": name,
        "file": printable(unread.file),
        "container": list(unread.container),
        "fixup": unread.fixup,
        "reason": unread.reason,
    }


def _document(name: str, place: Place, full: str | None) -> dict[str, object]:
    from graft.objects.references import place_document

    document = {"path": name, **place_document(place)}
    return document | {"hash": place.hash_part, "reference": full}
