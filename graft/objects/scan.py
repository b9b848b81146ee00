"""Every reference in some files, known to a store or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.kernel.reference import ENCODINGS
from graft.kernel.tree import Found
from graft.kernel.tree.report import Where
from graft.objects.reading import read_object, search_object
from graft.objects.references import StoreDirScanner
from graft.objects.search import DeepSearch, Unread
from graft.store.objects import StoreObject


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedReference:
    """A place where a hash part stands.

    Attributes:
        file: relative to the tree's top, empty for the top itself.
        container: the files inside files that lead to the place, outermost first.
        offset: of the first character in the contents, target or name, in bytes.
        where: which of the three.
        encoding: `ascii`, `utf-16` or `utf-32`; `fragment` or a name of graft.objects.spellings
            if it was deep.
        hash_part: 32 characters.
        path: whose hash part it is, if that is known.
    """

    file: bytes
    container: tuple[str, ...] = ()
    offset: int
    where: Where
    encoding: str
    hash_part: str
    path: StorePath | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What is in some files.

    Attributes:
        references: those that stand in the bytes as they are, then all others.
        unread: what could not be looked into.
    """

    references: tuple[ScannedReference, ...]
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
        deep: what compilers have cut up, what is spelled otherwise, and what is in containers is
            found as well.
        on_bytes: called with the number of NAR bytes read since the last call.

    Raises:
        TreeError, CacheError, CorruptCacheError: something cannot be read.
    """
    paths = {path.hash_part: path for path in known}
    wanted = {*hash_parts, *paths}
    if store_dir is not None:
        scanner = StoreDirScanner(store_dir)
        read_object(item, sink=scanner.feed)
        wanted |= scanner.hash_parts
    looked_for = sorted(wanted)

    def sink(chunk: memoryview) -> None:
        on_bytes(len(chunk))

    def standing(found: Found, hash_part: str) -> ScannedReference:
        return ScannedReference(
            file=found.file,
            offset=found.offset,
            where=found.where,
            encoding=ENCODINGS[found.stride],
            hash_part=hash_part,
            path=paths.get(hash_part),
        )

    if not deep:
        table = Table([(hash_part.encode(), None) for hash_part in looked_for])
        report = read_object(item, wanted=table, sink=sink, places=True)
        return Scan(
            references=tuple(standing(found, looked_for[found.index]) for found in report.found)
        )
    search = DeepSearch(paths.values(), looked_for, store_dir=store_dir)
    seen = search_object(item, search, sink=sink, places=True)
    return Scan(
        references=(
            *(standing(found, search.hash_parts[found.index]) for found in seen.report.found),
            *(
                ScannedReference(
                    file=hidden.file,
                    container=hidden.container,
                    offset=hidden.offset,
                    where=hidden.where,
                    encoding=hidden.encoding,
                    hash_part=hidden.hash_part,
                    path=hidden.path,
                )
                for hidden in seen.hidden
            ),
        ),
        unread=seen.unread,
    )
