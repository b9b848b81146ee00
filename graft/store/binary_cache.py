"""A binary cache: narinfos and NAR files, in a directory or behind a server.

Source: src/libstore/binary-cache-store.cc of Nix. A path is valid if there is a narinfo of its hash
part; that names the file of its NAR. Every word of it is a stranger's: what is read is checked
against what was promised, and whether to believe the promise is for signatures to say
(graft/store/trust.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from types import TracebackType
from typing import Self
from urllib.parse import unquote, urlsplit

from graft.errors import (
    BadFormatError,
    BadStoreUrlError,
    CacheError,
    CorruptCacheError,
    InvalidPathError,
    ReferenceCycleError,
    StoreError,
    StoreMissingError,
)
from graft.formats.cache_info import (
    CACHE_INFO_FILE,
    CacheInfo,
    parse_cache_info,
    print_cache_info,
)
from graft.formats.narinfo import NarInfo, parse_narinfo, print_narinfo
from graft.formats.store_path import HASH_PART_LENGTH, StoreDir, StorePath
from graft.graph import references_first
from graft.store.api import PathInfo
from graft.store.cache_directory import CacheDirectory
from graft.store.cache_files import CacheFiles
from graft.store.nar_files import FileWriter, NarReader, NarWriter
from graft.window import SIZE
from graft.workers import Workers

_NARINFO = ".narinfo"


class BinaryCache:
    """A cache that is there.

    Args:
        files: of the cache; they are closed with it.
        info: what the cache says of itself.
    """

    def __init__(self, files: CacheFiles, info: CacheInfo) -> None:
        self._files = files
        self.info = info
        self._known: dict[StorePath, NarInfo] = {}

    @classmethod
    def open(cls, url: str) -> Self:
        """Opens a cache.

        Args:
            url: `file:///DIR`, `http://...` or `https://...`.

        Raises:
            BadStoreUrlError: it has another form.
            StoreMissingError: there is no cache.
            CacheError: it cannot be read.
            BadFormatError: its nix-cache-info is none.
        """
        with ExitStack() as opened:
            files = opened.enter_context(closing(open_cache_files(url)))
            info = _read_cache_info(files)
            if info is None:
                raise StoreMissingError(
                    f"there is no binary cache at '{files.url}': it has no file "
                    f"'{CACHE_INFO_FILE}'",
                    store=files.url,
                )
            opened.pop_all()
            return cls(files, info)

    @classmethod
    def create(cls, url: str, store_dir: StoreDir) -> Self:
        """Opens a cache in a directory, which is made one if it is none.

        Args:
            url: `file:///DIR`.
            store_dir: the logical store directory of every path in it.

        Raises:
            BadStoreUrlError: nothing can be written there.
            CacheError, StorePermissionError, NoSpaceError: it cannot be made.
            StoreError: it is a cache of paths in another store directory.
            BadFormatError: its nix-cache-info is none.
        """
        with ExitStack() as opened:
            files = opened.enter_context(closing(open_cache_files(url)))
            if not isinstance(files, CacheDirectory):
                raise _read_only(files.url)
            info = _read_cache_info(files)
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
            opened.pop_all()
            return cls(files, info)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes connections, and removes what was begun and not finished."""
        self._files.close()

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory, part of every full path."""
        return self.info.store_dir

    @property
    def url(self) -> str:
        """How messages name the cache; without passwords."""
        return self._files.url

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """What the cache says of those of `paths` that are valid; the others are left out.

        Raises:
            CacheError: it cannot be read.
            BadFormatError, CorruptCacheError: a narinfo is none, or another path's.
        """
        return {path: _path_info(info) for path, info in self.narinfos(paths).items()}

    def narinfos(self, paths: Iterable[StorePath]) -> dict[StorePath, NarInfo]:
        """The narinfos of those of `paths` that are valid.

        What was read once is not read again, as long as the cache is open.

        Raises: as `path_infos`.
        """
        paths = list(paths)
        unknown = [path for path in dict.fromkeys(paths) if path not in self._known]
        if min(self._files.connections, len(unknown)) > 1:
            with Workers(min(self._files.connections, len(unknown))) as workers:
                found = list(workers.map(self._read_narinfo, unknown))
        else:
            found = [self._read_narinfo(path) for path in unknown]
        self._known.update({info.path: info for info in found if info is not None})
        return {path: self._known[path] for path in paths if path in self._known}

    def narinfo(self, path: StorePath) -> NarInfo:
        """The narinfo of a path.

        Raises:
            InvalidPathError: the path is not valid in the cache. Else as `path_infos`.
        """
        info = self.narinfos([path]).get(path)
        if info is None:
            full = self.store_dir.path(path)
            raise InvalidPathError(
                f"path '{full}' is not valid in the cache '{self.url}'", path=full, store=self.url
            )
        return info

    def valid_paths(self) -> set[StorePath]:
        """Every valid path.

        Raises:
            CacheError: the cache is behind a server, where files cannot be listed.
        """
        if not isinstance(self._files, CacheDirectory):
            raise CacheError(
                f"the cache '{self.url}' cannot say what it has: name the paths", store=self.url
            )
        found = set()
        for name in self._files.names():
            if len(name) == HASH_PART_LENGTH + len(_NARINFO) and name.endswith(_NARINFO):
                info = self._parse_narinfo(name)
                if info is not None:
                    self._known[info.path] = info
                    found.add(info.path)
        return found

    @contextmanager
    def nar(
        self, path: StorePath, *, on_file: Callable[[memoryview], object] | None = None
    ) -> Iterator[NarReader]:
        """The NAR of a path, to be read until it ends: only then is it what was promised.

        Args:
            on_file: called with each piece of its file, as it is compressed.

        Raises:
            InvalidPathError: the path is not valid in the cache.
            CacheError: its NAR is missing, or cannot be read.
            BadFormatError: it is compressed in a way that cannot be read.
        """
        info = self.narinfo(path)
        with closing(self._files.open(info.url)) as stream:
            yield NarReader(stream, info, self.url, on_file)

    @contextmanager
    def writing(
        self, *, compression: str = "zstd", level: int | None = None, threads: int = 1
    ) -> Iterator[NarWriter]:
        """A new NAR, of any path. Unless it is finished in the block nothing is left of it.

        Any number may be written at once, each by one thread.

        Args:
            compression: one of `graft.formats.compression.LEVELS`.
            level: of the compression; None is its own default.
            threads: of zstd's own.

        Raises:
            UsageError: there is no such compression or level.
            BadStoreUrlError, CacheError, StorePermissionError, NoSpaceError: nothing can be
                written.
        """
        with closing(
            NarWriter(self._writable(), compression, level=level, threads=threads)
        ) as writer:
            yield writer

    def copy_nar(self, source: BinaryCache, path: StorePath) -> NarInfo:
        """Takes over the NAR file of a path from another cache, checked, and compressed as it is.

        Returns:
            What is to be registered of the path: what the other cache says, signatures too.

        Raises:
            CorruptCacheError: the file is not what the other cache promises. Nothing is left of it,
                whatever is raised.
            InvalidPathError, BadFormatError: as `nar` raises them.
            BadStoreUrlError, CacheError, StorePermissionError, NoSpaceError: it cannot be read or
                written.
        """
        info = source.narinfo(path)
        buffer = memoryview(bytearray(SIZE))
        with (
            closing(FileWriter(self._writable(), info.compression)) as writer,
            source.nar(path, on_file=writer.write) as reader,
        ):
            while reader.readinto(buffer):
                pass
            url = writer.publish()
            return replace(info, url=url, file_hash=writer.digest, file_size=writer.size)

    def register(self, infos: Collection[NarInfo]) -> None:
        """Makes paths valid whose NARs were written, each after all it refers to.

        The cache never names what is not there, not even if the power fails: the NARs are on the
        disk before the first narinfo gets its name.

        Raises:
            CacheError: a path refers to one that is neither valid nor among them, or its NAR is
                not there. Nothing was registered. So it is if the following are raised.
            ReferenceCycleError: they refer to each other in a circle.
            StorePermissionError, NoSpaceError: a narinfo cannot be written.
        """
        directory = self._writable()
        new = {info.path: info for info in infos}
        order = self._references_first(new)
        for info in new.values():
            size = directory.size(info.url)
            if size is None or info.file_size not in {None, size}:
                raise self._refused(info.path, f"its nar '{info.url}' is not there")
        files = []
        try:
            for path in order:
                file = directory.create()
                files.append(file)
                file.write(print_narinfo(new[path], self.store_dir).encode())
                file.close()
            directory.sync()
        except BaseException:
            for file in files:
                file.discard()
            raise
        for path, file in zip(order, files, strict=True):
            file.publish(_narinfo_name(path))
            self._known[path] = new[path]

    def _references_first(self, new: dict[StorePath, NarInfo]) -> list[StorePath]:
        others = {reference for info in new.values() for reference in info.references}
        valid = self.narinfos(others - new.keys()).keys() | new.keys()
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

    def _writable(self) -> CacheDirectory:
        if not isinstance(self._files, CacheDirectory):
            raise _read_only(self.url)
        return self._files

    def _read_narinfo(self, path: StorePath) -> NarInfo | None:
        info = self._parse_narinfo(_narinfo_name(path))
        if info is not None and info.path != path:
            raise CorruptCacheError(
                f"the cache '{self.url}' says of '{path}' what is true of '{info.path}'",
                store=self.url,
                path=path,
            )
        return info

    def _parse_narinfo(self, name: str) -> NarInfo | None:
        data = self._files.read(name)
        if data is None:
            return None
        full = f"{self.url}/{name}"
        info = parse_narinfo(_decoded(data, full), self.store_dir, full)
        if _narinfo_name(info.path) != name:
            raise CorruptCacheError(
                f"narinfo '{full}' is that of '{info.path}'", store=self.url, path=info.path
            )
        return info


def open_cache_files(url: str) -> CacheFiles:
    """The files of a cache, whether it is there or not.

    Raises:
        BadStoreUrlError: the URL has no form that is known.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        if parts.query or parts.fragment:
            raise BadStoreUrlError(f"store '{url}' has parameters: it takes none", url=url)
        return CacheDirectory(unquote(parts.path).rstrip("/") or "/")
    if parts.scheme in {"http", "https"}:
        from graft.store.cache_server import CacheServer  # noqa: PLC0415 - for servers only

        return CacheServer(url)
    raise BadStoreUrlError(
        f"'{url}' is no binary cache: say file:///DIR, http://HOST or https://HOST", url=url
    )


def _read_cache_info(files: CacheFiles) -> CacheInfo | None:
    data = files.read(CACHE_INFO_FILE)
    return None if data is None else parse_cache_info(_decoded(data, files.url), files.url)


def _narinfo_name(path: StorePath) -> str:
    return f"{path.hash_part}{_NARINFO}"


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise BadFormatError(f"'{name}' is no text", name=name) from None


def _path_info(info: NarInfo) -> PathInfo:
    address = info.content_address
    return PathInfo(
        path=info.path,
        nar_hash=info.nar_hash,
        nar_size=info.nar_size,
        references=info.references,
        deriver=info.deriver,
        signatures=tuple(sorted(info.signatures)),
        content_address=None if address is None else str(address),
    )


def _read_only(url: str) -> BadStoreUrlError:
    return BadStoreUrlError(
        f"the cache '{url}' can only be read: write to a file:///DIR, and serve that", url=url
    )
