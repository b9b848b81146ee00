"""Every reference in some files, known to a store or not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from graft.deep import DeepFinder
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import Table
from graft.reading import read_object
from graft.references import ENCODINGS, StoreDirScanner
from graft.store.objects import StoreObject
from graft.tree.report import Where


@dataclass(frozen=True, slots=True, kw_only=True)
class ScannedReference:
    """A place where a hash part stands.

    Attributes:
        file: relative to the tree's top, empty for the top itself.
        offset: of the first character in the contents, target or name, in bytes.
        where: which of the three.
        encoding: a value of ENCODINGS; `fragment` or a name of graft.spellings if it was deep.
        hash_part: 32 characters.
        path: whose hash part it is, if that is known.
    """

    file: bytes
    offset: int
    where: Where
    encoding: str
    hash_part: str
    path: StorePath | None


def scan_object(
    item: StoreObject,
    *,
    known: Iterable[StorePath],
    hash_parts: Iterable[str] = (),
    store_dir: StoreDir | None = None,
    deep: bool = False,
    on_bytes: Callable[[int], object] = lambda _: None,
) -> Iterator[ScannedReference]:
    """Finds references in an object, or any file, symlink or directory.

    Args:
        item: where it is.
        known: paths whose hash parts are looked for.
        hash_parts: more of them, of unknown paths.
        store_dir: if given, hash parts that stand after it and a slash are found as well.
        deep: what compilers have cut up, and what is spelled otherwise, is found as well.
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
    report = read_object(
        item,
        wanted=Table([(hash_part.encode(), None) for hash_part in looked_for]),
        sink=lambda chunk: on_bytes(len(chunk)),
        places=True,
    )
    for found in report.found:
        hash_part = looked_for[found.index]
        yield ScannedReference(
            file=found.file,
            offset=found.offset,
            where=found.where,
            encoding=ENCODINGS[found.stride],
            hash_part=hash_part,
            path=paths.get(hash_part),
        )
    if deep:
        finder = DeepFinder(paths.values(), wanted)
        for hidden in finder.in_object(item, on_bytes):
            yield ScannedReference(
                file=hidden.file,
                offset=hidden.offset,
                where=hidden.where,
                encoding=hidden.encoding,
                hash_part=hidden.hash_part,
                path=hidden.path,
            )
