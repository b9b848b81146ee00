"""Every reference in some files, known to a store or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.kernel.place import Place
from graft.objects.reading import read_object, search_object
from graft.objects.references import StoreDirScanner
from graft.objects.search import DeepSearch, Unread
from graft.store.api import Source, path_info
from graft.store.objects import StoreObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The references in some files.

    Attributes:
        places: first the places of hash parts in the plain bytes, then all others.
        unread: the files that could not be looked into.
    """

    places: tuple[Place, ...]
    unread: tuple[Unread, ...] = ()


def scan_object(
    item: StoreObject,
    *,
    known: Iterable[StorePath],
    hash_parts: Iterable[str] = (),
    store_dir: StoreDir | None = None,
    deep: bool = False,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Scan:
    """Finds references in an object, or any file, symlink or directory.

    Args:
        item: where it is.
        known: paths whose hash parts are looked for.
        hash_parts: more of them, of unknown paths.
        store_dir: if given, hash parts that stand after it and a slash are found as well.
        deep: hash parts that compilers have cut up, in other spellings, and in containers are found
            as well.
        on_bytes: called with the number of NAR bytes read since the last call.

    Raises:
        TreeError, CacheError, CorruptCacheError: something cannot be read.
    """
    paths = tuple(known)
    wanted = {*hash_parts, *(path.hash_part for path in paths)}
    if store_dir is not None:
        scanner = StoreDirScanner(store_dir)
        read_object(item, sink=scanner.feed)
        wanted |= scanner.hash_parts
    looked_for = sorted(wanted)

    def sink(chunk: memoryview) -> None:
        on_bytes(len(chunk))

    if not deep:
        table = Table([(hash_part.encode(), None) for hash_part in looked_for])
        report = read_object(item, wanted=table, sink=sink, places=True)
        return Scan(places=report.found)
    search = DeepSearch(paths, looked_for, store_dir=store_dir)
    seen = search_object(item, search, sink=sink, places=True)
    return Scan(places=(*seen.report.found, *seen.hidden), unread=seen.unread)


def scan(
    store: Source,
    paths: Iterable[str],
    *,
    wanted: Iterable[str] = (),
    deep: bool = False,
) -> dict[StorePath, Scan]:
    """Finds references in the bytes of store paths, registered or not.

    Args:
        store: where the paths are.
        paths: the store paths to be read, or texts, as the command line takes them.
        wanted: the paths that are looked for, valid or not; if empty all that the store knows, and
            all hash parts that stand behind the store directory.
        deep: look into containers, for other spellings, and for hash parts that compilers cut up.

    Returns:
        The references in each path.

    Raises:
        BadStorePathError, InvalidPathError: one of `paths` leads to no valid path.
        TreeError, CacheError, CorruptCacheError: a path cannot be read.
    """

    def named(path: str) -> StorePath:
        return path if isinstance(path, StorePath) else store.resolve(path)

    asked = set(map(named, wanted))
    found = {}
    for path in dict.fromkeys(map(named, paths)):
        item = store.store_object(path_info(store, path).path)
        found[path] = scan_object(
            item,
            known=asked or store.valid_paths(),
            store_dir=None if asked else store.store_dir,
            deep=deep,
        )
    return found
