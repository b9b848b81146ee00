"""Binary caches made on the spot, without Nix."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from graft.formats.narinfo import NarInfo, parse_narinfo, print_narinfo
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel.tree import read_tree
from graft.store.api import PathInfo
from graft.store.binary_cache import BinaryCache
from graft.store.local import LocalStore
from graft.store.writable_cache import WritableCache
from tests.archives import Node, archive_of
from tests.store_objects import named_path

STORE = StoreDir("/nix/store")


def new_cache(directory: Path) -> WritableCache:
    """An empty cache for paths of /nix/store."""
    return WritableCache.create(f"file://{directory}", STORE)


def add_nar(
    cache: WritableCache,
    name: str,
    node: Node,
    references: Iterable[StorePath] = (),
    *,
    compression: str = "zstd",
) -> NarInfo:
    """Writes an object into a cache, and registers it."""
    info = written(cache, name, node, references, compression=compression)
    cache.register([info])
    return info


def written(
    cache: WritableCache,
    name: str,
    node: Node,
    references: Iterable[StorePath] = (),
    *,
    compression: str = "zstd",
) -> NarInfo:
    """Writes the NAR of an object into a cache, and gives what there is to be said of it."""
    archive = archive_of(node)
    with cache.writing(compression=compression) as nar:
        nar.write(archive)
        file = nar.finish()
    return file.narinfo(
        PathInfo(
            path=named_path(name, cache.store_dir),
            nar_hash=hashlib.sha256(archive).digest(),
            nar_size=len(archive),
            references=frozenset(references),
        )
    )


def cache_of(store: LocalStore, directory: Path) -> WritableCache:
    """A cache of all that is valid in a store."""
    cache = WritableCache.create(f"file://{directory}", store.store_dir)
    infos = store.path_infos(store.valid_paths())
    narinfos = []
    for path, info in infos.items():
        with cache.writing() as nar:
            read_tree(store.tree(path), sink=nar.write)
            narinfos.append(nar.finish().narinfo(info))
    cache.register(narinfos)
    return cache


def read_nar(cache: BinaryCache, path: StorePath, size: int = 65_536) -> bytes:
    """The NAR of a path, read to its end into buffers of a size."""
    out = bytearray()
    buffer = memoryview(bytearray(size))
    with cache.nar(path) as nar:
        while read := nar.readinto(buffer):
            out += buffer[:read]
    return bytes(out)


def spoil(directory: Path, path: StorePath, **fields: object) -> None:
    """Changes what the cache in a directory says of a path."""
    file = directory / f"{path.hash_part}.narinfo"
    info = parse_narinfo(file.read_text(), STORE, file.name)
    file.write_text(print_narinfo(replace(info, **fields), STORE))  # type: ignore[arg-type]
