"""Binary caches in directories: what is read of them, and what liars get."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import (
    BadFormatError,
    BadStoreUrlError,
    CacheError,
    CorruptCacheError,
    GraftError,
    InvalidPathError,
    StoreError,
    StoreMissingError,
)
from graft.formats.store_path import StorePath
from graft.plan.closure import Closure
from graft.store.api import PathInfo, path_info
from graft.store.binary_cache import BinaryCache
from graft.store.writable_cache import WritableCache
from tests.archives import File, Folder, Link, archive_of
from tests.caches import STORE, add_nar, new_cache, read_nar, spoil, written
from tests.real_nix import RealNix
from tests.store_objects import add_object, named_path, new_store

FILE = File(b"some contents\n" * 100)
COMPRESSIONS = ["none", "xz", "zstd", "bzip2", "gzip"]


def _files(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()}


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_is_written_is_read_back(compression: str, tmp_path: Path) -> None:
    node = Folder({b"bin": Folder({b"x": File(b"#!", executable=True)}), b"l": Link(b"bin")})
    with new_cache(tmp_path) as cache:
        below = add_nar(cache, "below-1", FILE, compression=compression)
        info = add_nar(cache, "one-1", node, [below.path], compression=compression)
    with BinaryCache.open(f"file://{tmp_path}") as cache:
        assert cache.store_dir == STORE
        assert cache.valid_paths() == {below.path, info.path}
        assert cache.narinfos([info.path]) == {info.path: info}
        assert path_info(cache, info.path) == PathInfo(
            path=info.path,
            nar_hash=info.nar_hash,
            nar_size=info.nar_size,
            references=frozenset({below.path}),
        )
        for size in (1, 10, 1 << 20):
            assert read_nar(cache, info.path, size) == archive_of(node)
    assert len(_files(tmp_path)) == 5
    assert not any(name.startswith(".graft") for name in os.listdir(tmp_path))
    assert (tmp_path / info.url).stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def test_a_path_that_is_not_there_is_left_out(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = add_nar(cache, "one-1", FILE)
    other = named_path("other-1", STORE)
    assert set(cache.path_infos([other, info.path])) == {info.path}
    with pytest.raises(InvalidPathError, match=other), cache.nar(other):
        pass


def _changed_file(cache: Path, url: str) -> None:
    file = cache / url
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


LIES: dict[str, dict[str, object]] = {
    "a nar that is longer": {"nar_size": 5},
    "a nar that is shorter": {"nar_size": 2**63},
    "another nar": {"nar_hash": bytes(32)},
    "a file that is longer": {"file_size": 5},
    "a file that is shorter": {"file_size": 2**63},
    "another file": {"file_hash": bytes(32)},
    "another compression": {"compression": "xz"},
}


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("lie", LIES)
def test_a_cache_that_lies_is_an_error(lie: str, compression: str, tmp_path: Path) -> None:
    info = add_nar(new_cache(tmp_path), "one-1", FILE, compression=compression)
    spoil(tmp_path, info.path, **LIES[lie])
    cache = BinaryCache.open(f"file://{tmp_path}")
    for size in (7, 1 << 20):
        with pytest.raises(CorruptCacheError, match=info.path) as raised:
            read_nar(cache, info.path, size)
        assert "\n" not in raised.value.message


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("end", ["changed", "cut", "longer", "empty"])
def test_a_file_that_is_damaged_is_an_error(end: str, compression: str, tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = add_nar(cache, "one-1", FILE, compression=compression)
    file = tmp_path / info.url
    data = file.read_bytes()
    if end == "changed":
        _changed_file(tmp_path, info.url)
    else:
        file.write_bytes({"cut": data[:-1], "longer": data + b"\0", "empty": b""}[end])
    with pytest.raises(CorruptCacheError, match=info.path):
        read_nar(cache, info.path)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_damage_is_seen_without_hash_and_size_of_the_file(compression: str, tmp_path: Path) -> None:
    info = add_nar(new_cache(tmp_path), "one-1", FILE, compression=compression)
    spoil(tmp_path, info.path, file_hash=None, file_size=None)
    cache = BinaryCache.open(f"file://{tmp_path}")
    assert read_nar(cache, info.path) == archive_of(FILE)
    _changed_file(tmp_path, info.url)
    with pytest.raises(CorruptCacheError, match=info.path):
        read_nar(cache, info.path)


@pytest.mark.parametrize("compression", ["xz", "zstd", "bzip2", "gzip"])
def test_a_nar_that_expands_without_end_is_an_error_early(compression: str, tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    bomb = add_nar(cache, "bomb-1", File(bytes(1 << 20)), compression=compression)
    cache.close()
    spoil(tmp_path, bomb.path, nar_size=1000)
    with BinaryCache.open(f"file://{tmp_path}") as again, again.nar(bomb.path) as reader:
        buffer = memoryview(bytearray(1 << 22))
        with pytest.raises(CorruptCacheError, match="more bytes than it may"):
            reader.readinto(buffer)


def test_a_narinfo_of_another_path_is_an_error(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = add_nar(cache, "one-1", FILE)
    other = named_path("other-1", STORE)
    (tmp_path / f"{other.hash_part}.narinfo").write_text(
        (tmp_path / f"{info.path.hash_part}.narinfo").read_text()
    )
    with pytest.raises(CorruptCacheError, match=f"describes '{info.path}'"):
        cache.path_infos([other])
    with pytest.raises(CorruptCacheError, match=f"describes '{info.path}'"):
        cache.valid_paths()
    renamed = StorePath(f"{info.path.hash_part}-renamed")
    with pytest.raises(CorruptCacheError, match=f"the narinfo of '{info.path}'"):
        BinaryCache.open(f"file://{tmp_path}").path_infos([renamed])


@pytest.mark.parametrize(
    "data", [b"", b"\xff\n", b"<!doctype html>\n", b"StorePath: /nix/store/x\n", bytes(17 << 20)]
)
def test_a_narinfo_that_is_none_is_an_error(data: bytes, tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    path = named_path("one-1", STORE)
    (tmp_path / f"{path.hash_part}.narinfo").write_bytes(data)
    with pytest.raises((BadFormatError, CacheError), match=path.hash_part):
        cache.path_infos([path])


def test_a_nar_that_is_missing_is_an_error(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = add_nar(cache, "one-1", FILE)
    (tmp_path / info.url).unlink()
    with pytest.raises(CacheError, match=f"'{info.url}'.*No such file"):
        read_nar(cache, info.path)


@pytest.mark.parametrize("kind", ["pipe", "directory", "link to itself"])
def test_what_is_no_file_is_an_error(kind: str, tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = add_nar(cache, "one-1", FILE)
    file = tmp_path / info.url
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "directory":
        file.mkdir()
    else:
        file.symlink_to(file)
    with pytest.raises(CacheError, match=f"'{info.url}'"):
        read_nar(cache, info.path)


def test_a_compression_nobody_here_reads_is_an_error_that_names_it(tmp_path: Path) -> None:
    info = add_nar(new_cache(tmp_path), "one-1", FILE)
    spoil(tmp_path, info.path, compression="br")
    cache = BinaryCache.open(f"file://{tmp_path}")
    assert cache.path_infos([info.path])
    with pytest.raises(BadFormatError, match="'br' cannot be read"):
        read_nar(cache, info.path)


def test_references_outside_of_the_cache_are_an_error(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = add_nar(cache, "one-1", FILE)
    outside = named_path("outside-1", STORE)
    spoil(tmp_path, info.path, references=frozenset({outside}))
    with BinaryCache.open(f"file://{tmp_path}") as again, pytest.raises(StoreError, match=outside):
        Closure.of(again, [info.path])
    other = written(cache, "two-1", FILE, [outside])
    with pytest.raises(CacheError, match=f"its reference '{outside}' is not valid"):
        cache.register([other])
    assert other.path not in cache.valid_paths()


def test_a_cache_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreMissingError, match="no binary cache"):
        BinaryCache.open(f"file://{tmp_path}")
    (tmp_path / "nix-cache-info").write_text("<!doctype html>\n")
    with pytest.raises(BadFormatError, match="nix-cache-info of 'file://"):
        BinaryCache.open(f"file://{tmp_path}")
    (tmp_path / "nix-cache-info").write_text("StoreDir: /gnu/store\n")
    with pytest.raises(StoreError, match="for paths in '/gnu/store'"):
        WritableCache.create(f"file://{tmp_path}", STORE)


@pytest.mark.parametrize(
    "url", ["", "auto", "/nix", "file://host/x", "file:x", "ftp://x", "file:///x?a=b", "http://[x"]
)
def test_what_is_no_address_of_a_cache_is_an_error(url: str) -> None:
    with pytest.raises(BadStoreUrlError):
        BinaryCache.open(url)


def test_an_address_may_be_quoted(tmp_path: Path) -> None:
    new_cache(tmp_path / "a%20b")
    assert (tmp_path / "a b" / "nix-cache-info").exists()


@pytest.mark.nix
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_what_nix_copies_into_a_cache_is_read(compression: str, tmp_path: Path) -> None:
    store = new_store(tmp_path)
    nix = RealNix(store.location, tmp_path)
    below = add_object(store, "below-1", {"file": b"x" * 100_000, "run": b"#!/bin/sh\n"})
    path = add_object(store, "one-1", {"own": b"{self}\n", "link": "{self}/own"}, [below])
    full = store.store_dir.path(path)
    url = f"file://{tmp_path}/cache"
    command = ["nix", "copy", "--to", f"{url}?compression={compression}", full]
    subprocess.run(command, env=nix.environment, check=True)
    with BinaryCache.open(url) as cache:
        assert cache.valid_paths() == {below, path}
        for one, registered in store.path_infos([below, path]).items():
            found = path_info(cache, one)
            assert replace(found, registration_time=0) == replace(
                registered, registration_time=0, ultimate=False
            )
            dumped = subprocess.run(
                ["nix-store", "--dump", store.store_dir.path(one)], capture_output=True, check=True
            )
            assert read_nar(cache, one) == dumped.stdout
        assert set(Closure.of(cache, [path]).infos) == {path, below}


def test_an_error_is_one_sentence_and_names_the_cache(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    calls: list[Callable[[], object]] = [
        lambda: cache.register([replace(written(cache, "a-1", FILE), url="nar/b")]),
        lambda: BinaryCache.open(f"file://{tmp_path}/missing"),
        lambda: WritableCache.create("http://127.0.0.1:1", STORE),
    ]
    for call in calls:
        with pytest.raises(GraftError) as raised:
            call()
        assert raised.value.message[0] in "'abcdefghijklmnopqrstuvwxyz"
        assert "://" in raised.value.message


def test_a_cache_that_is_only_read_has_the_nars_that_it_names(tmp_path: Path) -> None:
    info = add_nar(new_cache(tmp_path), "one-1", FILE)
    with BinaryCache.open(f"file://{tmp_path}") as cache:
        assert cache.has_nar(info.path)
        assert not cache.has_nar(named_path("other-1", STORE))


def test_only_names_of_narinfos_are_taken_for_some(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    path = add_nar(cache, "one-1", File(b"1")).path
    (tmp_path / f"{'0' * 31}.narinfo").write_text("no narinfo")
    (tmp_path / f"{'0' * 32}.narinf0").write_text("no narinfo")
    assert cache.valid_paths() == {path}
