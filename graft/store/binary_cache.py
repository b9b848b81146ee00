"""A binary cache: narinfos and NAR files, in a directory or behind a server.

Source: src/libstore/binary-cache-store.cc of Nix. A path is valid if there is a narinfo of its hash
part; the narinfo names the file of its NAR. Every word of it is a stranger's. Data is compared with
the promise, and signatures say whether to trust the promise (graft/store/trust.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Self, TypeVar

from graft.errors import (
    BadFormatError,
    CorruptCacheError,
    InvalidPathError,
    StoreMissingError,
)
from graft.formats.cache_info import (
    CACHE_INFO_FILE,
    CacheInfo,
    parse_cache_info,
)
from graft.formats.narinfo import NarInfo, parse_narinfo
from graft.formats.store_path import HASH_PART_LENGTH, StoreDir, StorePath
from graft.store.api import Closeable, PathInfo
from graft.store.caches.address import CacheAddress
from graft.store.caches.directory import CacheDirectory
from graft.store.caches.files import CacheFiles
from graft.store.caches.nar_files import NarReader
from graft.store.location import resolve_argument
from graft.store.objects import NarObject, StoreObject
from graft.workers import Workers

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_NARINFO = ".narinfo"


class BinaryCache(Closeable):
    """A cache that is there.

    Args:
        address: where it is.
        files: the cache's files; they are closed with it.
        info: the contents of its `nix-cache-info`.

    A pickled one is its address only, passwords in it included: the receiver opens the cache anew.
    """

    def __init__(self, address: CacheAddress, files: CacheFiles, info: CacheInfo) -> None:
        self._address = address
        self._files = files
        self.info = info
        self._known: dict[StorePath, NarInfo] = {}

    @classmethod
    def open(cls, url: str) -> Self:
        """Opens a cache.

        Args:
            url: `file:///DIR`, `http://...`, `https://...` or `s3://BUCKET`.

        Raises:
            BadStoreUrlError: it has another form, or a parameter that is not known.
            StoreMissingError: there is no cache.
            CacheError: it cannot be read.
            BadFormatError: its nix-cache-info is malformed.
        """
        address = CacheAddress.parse(url)
        with ExitStack() as opened:
            files = opened.enter_context(closing(open_cache_files(address)))
            info = read_cache_info(files)
            if info is None:
                raise StoreMissingError(
                    f"there is no binary cache at '{files.url}': it has no file "
                    f"'{CACHE_INFO_FILE}'",
                    store=files.url,
                )
            cache = cls(address, files, info)
            opened.pop_all()
            return cache

    def __reduce__(self) -> tuple[Callable[[str], Self], tuple[str]]:
        return type(self).open, (self._address.url,)

    def close(self) -> None:
        """Closes connections, and removes unfinished files."""
        self._files.close()

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory, part of every full path."""
        return self.info.store_dir

    @property
    def url(self) -> str:
        """How messages name the cache; without passwords."""
        return self._files.url

    @property
    def priority(self) -> int:
        """The cache of the lowest priority is asked first; the URL's parameter goes before the
        cache's own.
        """
        if self._address.priority is not None:
            return self._address.priority
        return self.info.priority or 0

    @property
    def is_trusted(self) -> bool:
        """Never: anybody may have written there."""
        return False

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The cache's registrations of the valid paths among `paths`; the others are left out.

        Raises:
            CacheError: it cannot be read.
            BadFormatError, CorruptCacheError: a narinfo is malformed, or another path's.
        """
        return {path: _path_info(info) for path, info in self.narinfos(paths).items()}

    def narinfos(self, paths: Iterable[StorePath]) -> dict[StorePath, NarInfo]:
        """The narinfos of the valid paths among `paths`.

        A narinfo is read once, as long as the cache is open.

        Raises: as `path_infos`.
        """
        paths = list(paths)
        unknown = [path for path in dict.fromkeys(paths) if path not in self._known]
        found = self._at_once(self._read_narinfo, unknown)
        self._known.update({info.path: info for info in found if info is not None})
        return {path: self._known[path] for path in paths if path in self._known}

    def _at_once(self, work: Callable[[_Item], _Result], items: list[_Item]) -> list[_Result]:
        """The results for the items, in any order; as many at once as the files are good for."""
        jobs = min(self._files.connections, len(items))
        if jobs < 2:
            return [work(item) for item in items]
        with Workers(jobs) as workers:
            return list(workers.map(work, items))

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
        found = set()
        for name in self._files.names():
            if len(name) == HASH_PART_LENGTH + len(_NARINFO) and name.endswith(_NARINFO):
                info = self._parse_narinfo(name)
                if info is not None:
                    self._known[info.path] = info
                    found.add(info.path)
        return found

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means; links may lead to where a store would be."""
        return resolve_argument(argument, self.store_dir, self.store_dir)

    def store_object(self, path: StorePath) -> StoreObject:
        """Where the object of a valid path is."""
        return NarObject(self, path)

    def has_nar(self, path: StorePath) -> bool:
        """Whether the NAR of a valid path may be there, as far as that can be told at once."""
        return path in self.narinfos([path])  # a server would have to be asked for each

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Does nothing: the owner of a cache decides which paths are deleted, and when."""

    @contextmanager
    def nar(
        self, path: StorePath, *, on_file: Callable[[memoryview], object] | None = None
    ) -> Iterator[NarReader]:
        """The NAR of a path, to be read until it ends: only then its hash is checked.

        Args:
            on_file: called with each piece of its compressed file.

        Raises:
            InvalidPathError: the path is not valid in the cache.
            CacheError: its NAR is missing, or cannot be read.
            BadFormatError: it is compressed in a way that cannot be read.
        """
        info = self.narinfo(path)
        with closing(self._files.open(info.url)) as stream:
            reader = NarReader(stream, info, self.url, on_file)
            try:
                yield reader
            except BadFormatError as error:  # its reader knows neither path nor cache
                raise CorruptCacheError(
                    f"the cache '{self.url}' has no archive of '{path}' at '{info.url}': "
                    f"{error.message}",
                    store=self.url,
                    path=path,
                ) from error

    def _read_narinfo(self, path: StorePath) -> NarInfo | None:
        info = self._parse_narinfo(narinfo_name(path))
        if info is not None and info.path != path:
            raise CorruptCacheError(
                f"the cache '{self.url}' has the narinfo of '{info.path}' in the place of '{path}'",
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
        if narinfo_name(info.path) != name:
            raise CorruptCacheError(
                f"narinfo '{full}' describes '{info.path}'", store=self.url, path=info.path
            )
        return info


def open_cache(url: str, _environment: Mapping[str, str]) -> BinaryCache:
    """Opens a cache to be read; see `BinaryCache.open`."""
    return BinaryCache.open(url)


def open_cache_files(address: CacheAddress) -> CacheFiles:
    """The files of a cache, whether it is there or not.

    Raises:
        BadStoreUrlError: the address names no place where files could be.
    """
    if address.scheme == "file":
        return CacheDirectory(address.directory)
    if address.scheme == "s3":
        from graft.store.caches.bucket import CacheBucket  # noqa: PLC0415 - for buckets only

        return CacheBucket(address)
    from graft.store.caches.server import CacheServer  # noqa: PLC0415 - for servers only

    return CacheServer(f"{address.scheme}://{address.place}{address.path}")


def read_cache_info(files: CacheFiles) -> CacheInfo | None:
    """The contents of `nix-cache-info`, if the files are a cache."""
    data = files.read(CACHE_INFO_FILE)
    return None if data is None else parse_cache_info(_decoded(data, files.url), files.url)


def narinfo_name(path: StorePath) -> str:
    """The name of the file that makes a path valid."""
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
