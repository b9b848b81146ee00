"""A binary cache that is written: NARs first, narinfos last, so that it is whole at any moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from typing import Self

from graft.errors import BadStoreUrlError, CacheError, ReferenceCycleError, StoreError
from graft.formats.cache_info import CACHE_INFO_FILE, CacheInfo, print_cache_info
from graft.formats.narinfo import NarInfo, print_narinfo
from graft.formats.store_path import StoreDir, StorePath
from graft.formats.window import SIZE
from graft.graph import references_first
from graft.store.binary_cache import (
    BinaryCache,
    narinfo_name,
    open_cache_files,
    read_cache_info,
)
from graft.store.caches.address import CacheAddress
from graft.store.caches.files import CacheFiles, NewFile, WritableFiles
from graft.store.caches.nar_files import FileWriter, NarWriter


class WritableCache(BinaryCache):
    """A cache in a directory of this machine, or in a bucket.

    Args:
        address: where it is.
        files: the files of the cache; unfinished ones are removed when it is closed.
        info: the contents of its `nix-cache-info`.

    Raises:
        BadStoreUrlError: files of this kind can only be read.
    """

    def __init__(self, address: CacheAddress, files: CacheFiles, info: CacheInfo) -> None:
        super().__init__(address, files, info)
        self._writable = _writable(files)

    @classmethod
    def create(cls, url: str, store_dir: StoreDir) -> Self:
        """Opens a cache in a directory or a bucket, and makes it if it is missing.

        Args:
            url: `file:///DIR` or `s3://BUCKET`; a bucket must be there.
            store_dir: the logical store directory of every path in it.

        Raises:
            BadStoreUrlError: nothing can be written there.
            CacheError, StorePermissionError, NoSpaceError: it cannot be made.
            StoreError: it is a cache of paths in another store directory.
            BadFormatError: its nix-cache-info is malformed.
        """
        address = CacheAddress.parse(url)
        with ExitStack() as opened:
            files = _writable(opened.enter_context(closing(open_cache_files(address))))
            info = read_cache_info(files)
            if info is None:
                info = CacheInfo(store_dir=store_dir)
                file = files.create()
                file.write(print_cache_info(info).encode())
                file.publish(CACHE_INFO_FILE)
            if info.store_dir != store_dir:
                raise StoreError(
                    f"the cache '{files.url}' is for paths in '{info.store_dir}', not in "
                    f"'{store_dir}': name another directory",
                    store=files.url,
                )
            cache = cls(address, files, info)
            opened.pop_all()
            return cache

    def has_nar(self, path: StorePath) -> bool:
        """Whether the NAR of a valid path is there, with the size it should have."""
        return self.is_whole(self.narinfo(path))

    def is_whole(self, info: NarInfo) -> bool:
        """Whether the NAR file of a narinfo is there, with the size it should have."""
        size = self._writable.size(info.url)
        return size is not None and info.file_size in {None, size}

    def check_writable(self) -> None:
        """Raises StorePermissionError unless this user may write; changes nothing."""
        self._writable.check_writable()

    def free_bytes(self) -> int | None:
        """The room left for this user, in bytes; not known for every cache."""
        return self._writable.free_bytes()

    @contextmanager
    def writing(
        self, *, compression: str = "zstd", level: int | None = None, threads: int = 1
    ) -> Iterator[NarWriter]:
        """A new NAR, of any path. Unless it is finished in the block nothing is left of it.

        Any number may be written at once, each by one thread.

        Args:
            compression: one of `graft.formats.compression_levels.LEVELS`.
            level: the compression's level; None is its own default.
            threads: zstd's threads.

        Raises:
            UsageError: there is no such compression or level.
            CacheError, StorePermissionError, NoSpaceError: nothing can be written.
        """
        with closing(
            NarWriter(self._writable, compression, level=level, threads=threads)
        ) as writer:
            yield writer

    def copy_nar(
        self,
        source: BinaryCache,
        path: StorePath,
        *,
        read_nar: Callable[[Callable[[memoryview], int]], object] | None = None,
    ) -> NarInfo:
        """Copies the NAR file of a path from another cache, checked, in the same compression.

        Args:
            read_nar: looks at the NAR as it passes: it gets a function like `NarReader.readinto`,
                and uses it until that returns 0.

        Returns:
            The registration for the path: the other cache's, signatures too.

        Raises:
            CorruptCacheError: the file differs from the other cache's promise. After any error
                nothing of it is left.
            InvalidPathError, BadFormatError: as `nar` raises them.
            CacheError, StorePermissionError, NoSpaceError: it cannot be read or written.
        """
        info = source.narinfo(path)
        with (
            closing(FileWriter(self._writable, info.compression, digest=info.file_hash)) as writer,
            source.nar(path, on_file=writer.write) as reader,
        ):
            (read_nar or _to_the_end)(reader.readinto)  # where it compares the hashes
            url = writer.publish()
            return replace(info, url=url, file_hash=writer.digest, file_size=writer.size)

    def register(
        self, infos: Collection[NarInfo], *, elsewhere: Collection[StorePath] = ()
    ) -> None:
        """Makes paths valid whose NARs were written, each after all it refers to.

        Args:
            elsewhere: paths that may lack here although others refer to them: the reader of this
                cache has them, if the cache is there to carry some paths to a store.

        The cache never names a missing file, not even if the power fails: the NARs are on the disk
        before the first narinfo gets its name.

        Raises:
            CacheError: a path refers to one that is neither valid nor among them, or its NAR is
                not there. Nothing was registered. So it is if the following are raised.
            ReferenceCycleError: they refer to each other in a circle.
            StorePermissionError, NoSpaceError: a narinfo cannot be written.
        """
        new = {info.path: info for info in infos}
        order = self._references_first(new, set(elsewhere))
        for info, is_whole in self._at_once(
            lambda info: (info, self.is_whole(info)), list(new.values())
        ):
            if not is_whole:
                raise self._refused(info.path, f"its nar '{info.url}' is not there")
        files: dict[StorePath, NewFile] = {}
        try:
            for path in order:
                file = files[path] = self._writable.create()
                file.write(print_narinfo(new[path], self.store_dir).encode())
                file.close()
            self._writable.sync()
        except BaseException:
            for file in files.values():
                file.discard()
            raise

        def publish(path: StorePath) -> None:
            files[path].publish(narinfo_name(path))
            self._known[path] = new[path]

        for level in _levels(order, new):
            self._at_once(publish, level)

    def _references_first(
        self, new: dict[StorePath, NarInfo], elsewhere: set[StorePath]
    ) -> list[StorePath]:
        others = {reference for info in new.values() for reference in info.references}
        here = new.keys() | elsewhere
        valid = self.narinfos(others - here).keys() | here
        for path, info in sorted(new.items()):
            if lacking := sorted(info.references - valid):
                raise self._refused(path, f"its reference '{lacking[0]}' is not valid there")
        graph = {
            path: [found for found in info.references if found != path and found in new]
            for path, info in new.items()
        }
        order = references_first(graph)
        if len(order) < len(graph):
            path = min(graph.keys() - set(order))
            raise ReferenceCycleError(
                f"'{path}' cannot be added to the cache '{self.url}': it leads to paths that refer "
                "to each other in a circle",
                path=path,
            )
        return order

    def _refused(self, path: StorePath, why: str) -> CacheError:
        return CacheError(
            f"'{path}' cannot be added to the cache '{self.url}': {why}", store=self.url, path=path
        )


def open_cache(url: str, _environment: Mapping[str, str]) -> WritableCache:
    """Opens a cache that is there; see `BinaryCache.open`."""
    return WritableCache.open(url)


def create_cache(url: str, _environment: Mapping[str, str], store_dir: StoreDir) -> WritableCache:
    """Opens a cache, and makes it if it is missing; see `WritableCache.create`."""
    return WritableCache.create(url, store_dir)


def _levels(order: list[StorePath], infos: dict[StorePath, NarInfo]) -> list[list[StorePath]]:
    """The paths in groups, each of which refers to earlier ones only; the order is such already."""
    depths: dict[StorePath, int] = {}
    levels: list[list[StorePath]] = []
    for path in order:
        below = [depths[found] + 1 for found in infos[path].references if found in depths]
        depths[path] = depth = max(below, default=0)
        if depth == len(levels):
            levels.append([])
        levels[depth].append(path)
    return levels


def _writable(files: CacheFiles) -> WritableFiles:
    if isinstance(files, WritableFiles):
        return files
    raise BadStoreUrlError(
        f"the cache '{files.url}' can only be read: write to a file:///DIR or an s3://BUCKET, and "
        "serve that",
        url=files.url,
    )


def _to_the_end(readinto: Callable[[memoryview], int]) -> None:
    buffer = memoryview(bytearray(SIZE))
    while readinto(buffer):
        pass
