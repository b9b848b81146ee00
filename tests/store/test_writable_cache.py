"""Binary caches that are written: whole at any moment, and taken by Nix."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from graft.errors import (
    BadFormatError,
    CacheError,
    CorruptCacheError,
    InvalidPathError,
    ReferenceCycleError,
    StorePermissionError,
    UsageError,
)
from graft.formats import nar
from graft.formats.signature import SecretKey, fingerprint
from graft.formats.window import Window
from graft.kernel import Table
from graft.objects.nar_stream import rewrite_archive
from graft.store.api import PathInfo, path_info
from graft.store.binary_cache import BinaryCache
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.writable_cache import WritableCache
from tests.archives import File, Folder, archive_of
from tests.caches import STORE, add_nar, new_cache, read_nar, spoil, written
from tests.ordinary_user import as_ordinary_user
from tests.real_nix import RealNix
from tests.serving import serving
from tests.store_objects import named_path, opened

FILE = File(b"some contents\n" * 100)
COMPRESSIONS = ["none", "xz", "zstd", "bzip2", "gzip"]


def _files(directory: Path) -> set[str]:
    return {str(file.relative_to(directory)) for file in directory.rglob("*") if file.is_file()}


def test_threads_write_beside_each_other(tmp_path: Path) -> None:
    with new_cache(tmp_path) as cache, ThreadPoolExecutor(4) as pool:
        nodes = {f"many-{number}": File(b"%d" % number * 1000) for number in range(20)}
        infos = pool.map(lambda name: written(cache, name, nodes[name]), nodes)
        cache.register(list(infos))
        for name, node in nodes.items():
            assert read_nar(cache, named_path(name, STORE)) == archive_of(node)


def test_the_same_contents_are_the_same_file(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    first, second = (add_nar(cache, name, FILE) for name in ("one-1", "two-1"))
    assert first.url == second.url
    assert len(os.listdir(tmp_path / "nar")) == 1


def test_a_nar_is_rewritten_from_cache_to_cache_in_flat_memory(tmp_path: Path) -> None:
    old, new = (named_path(name, STORE) for name in ("lib-1", "lib-2"))
    size = 1 << 24
    source, target = new_cache(tmp_path / "source"), new_cache(tmp_path / "target")
    with source.writing() as nar_:
        nar_.write(nar.MAGIC + nar.regular_head(size, executable=False))
        block = (old.encode() + b" ").ljust(1 << 15, b"-")
        for _ in range(size // len(block)):
            nar_.write(block)
        nar_.write(nar.regular_tail(size))
        file = nar_.finish()
    path = named_path("one-1", STORE)
    info = PathInfo(path=path, nar_hash=file.nar_hash, nar_size=file.nar_size)
    source.register([file.narinfo(info)])
    table = Table([(old.encode(), new.encode())])
    tracemalloc.start()
    with source.nar(path) as read, target.writing() as write:
        report = rewrite_archive(Window(read.readinto, write.write), table)
        file = write.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.references == size // len(block)
    assert peak < 4 << 20
    made = named_path("one-2", STORE)
    info = PathInfo(path=made, nar_hash=file.nar_hash, nar_size=file.nar_size)
    target.register([file.narinfo(info)])
    assert read_nar(target, made) == read_nar(source, path).replace(old.encode(), new.encode())


@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("said", [True, False])
def test_a_file_is_taken_over_as_it_is(said: bool, compression: str, tmp_path: Path) -> None:
    source, target = new_cache(tmp_path / "source"), new_cache(tmp_path / "target")
    info = add_nar(source, "one-1", FILE, compression=compression)
    if not said:
        spoil(tmp_path / "source", info.path, file_hash=None, file_size=None)
    with BinaryCache.open(source.url) as again:
        copied = target.copy_nar(again, info.path)
    assert copied == info
    target.register([copied])
    assert read_nar(target, info.path) == archive_of(FILE)
    files = [(tmp_path / name / info.url).read_bytes() for name in ("source", "target")]
    assert files[0] == files[1]


LIES: dict[str, dict[str, object]] = {
    "a nar that is shorter": {"nar_size": 5},
    "another nar": {"nar_hash": bytes(32)},
    "another file": {"file_hash": bytes(32)},
    "a compression nobody reads": {"compression": "br"},
}


@pytest.mark.parametrize("lie", LIES)
def test_a_file_that_is_not_what_was_promised_is_not_taken_over(lie: str, tmp_path: Path) -> None:
    source, target = new_cache(tmp_path / "source"), new_cache(tmp_path / "target")
    info = add_nar(source, "one-1", FILE)
    spoil(tmp_path / "source", info.path, **LIES[lie])
    with BinaryCache.open(source.url) as lying, pytest.raises((CorruptCacheError, BadFormatError)):
        target.copy_nar(lying, info.path)
    with pytest.raises(InvalidPathError):
        target.copy_nar(source, named_path("other-1", STORE))
    assert os.listdir(tmp_path / "target" / "nar") == []
    assert list((tmp_path / "target").glob(".graft-*/*")) == []


def test_a_path_whose_nar_is_not_there_is_not_registered(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    info = written(cache, "one-1", FILE)
    for wrong in (replace(info, url="nar/other.nar"), replace(info, file_size=1)):
        with pytest.raises(CacheError, match="is not there"):
            cache.register([wrong])
    assert cache.valid_paths() == set()


def test_a_reference_may_be_valid_elsewhere(tmp_path: Path) -> None:
    with new_cache(tmp_path) as cache:
        below, other = written(cache, "below-1", FILE), named_path("other-1", STORE)
        top = written(cache, "top-1", FILE, [below.path, other])
        with pytest.raises(CacheError, match=f"its reference '{other}' is not valid"):
            cache.register([top], elsewhere=[below.path])
        cache.register([top], elsewhere=[below.path, other])
        assert cache.valid_paths() == {top.path}


def test_an_unpickled_cache_is_opened_anew(tmp_path: Path) -> None:
    with new_cache(tmp_path) as cache:
        info = add_nar(cache, "one-1", FILE)
        copy = pickle.loads(pickle.dumps(cache))
    with copy:
        assert type(copy) is WritableCache
        assert read_nar(copy, info.path) == archive_of(FILE)
        add_nar(copy, "two-1", FILE)


def test_whether_a_nar_is_whole_is_told_by_its_size(tmp_path: Path) -> None:
    with new_cache(tmp_path) as cache:
        info = add_nar(cache, "one-1", FILE)
        assert cache.is_whole(info)
        assert cache.has_nar(info.path)
        (tmp_path / info.url).write_bytes(b"cut")
        assert not cache.is_whole(info)
        (tmp_path / info.url).unlink()
        assert not cache.has_nar(info.path)


def test_the_room_left_is_that_of_the_file_system(tmp_path: Path) -> None:
    with new_cache(tmp_path / "cache") as cache:
        status = os.statvfs(tmp_path)
        assert 0 < (cache.free_bytes() or 0) <= status.f_frsize * status.f_blocks
        shutil.rmtree(tmp_path / "cache")
        assert cache.free_bytes()
        cache.check_writable()


def test_a_closure_is_registered_whatever_its_order(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    below = written(cache, "below-1", FILE)
    middle = written(cache, "middle-1", FILE, [below.path])
    top = written(cache, "top-1", FILE, [middle.path, named_path("top-1", STORE)])
    cache.register([top, below, middle])
    assert cache.valid_paths() == {top.path, below.path, middle.path}
    # Each narinfo after those it leads to, so that the cache is whole at any moment.
    times = [
        (tmp_path / f"{info.path.hash_part}.narinfo").stat().st_ctime_ns
        for info in (below, middle, top)
    ]
    assert times == sorted(times)


def test_a_circle_is_not_registered(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    one, two = (named_path(name, STORE) for name in ("one-1", "two-1"))
    infos = [written(cache, "one-1", FILE, [two]), written(cache, "two-1", FILE, [one])]
    with pytest.raises(ReferenceCycleError):
        cache.register(infos)
    assert cache.valid_paths() == set()


def test_a_nar_that_is_not_finished_leaves_nothing(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    before = _files(tmp_path)
    with pytest.raises(RuntimeError), cache.writing() as writer:
        writer.write(b"x" * 10**6)
        raise RuntimeError
    assert _files(tmp_path) == before
    for options in ({"level": 23}, {"compression": "br"}):
        with pytest.raises(UsageError), cache.writing(**options):
            pass
    cache.close()
    assert {*os.listdir(tmp_path)} == {"nar", "nix-cache-info"}


def test_what_was_written_must_be_what_is_registered(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    with cache.writing() as writer:
        writer.write(archive_of(FILE))
        file = writer.finish()
    path = named_path("one-1", STORE)
    for wrong in (
        PathInfo(path=path, nar_hash=bytes(32), nar_size=file.nar_size),
        PathInfo(path=path, nar_hash=file.nar_hash, nar_size=1),
    ):
        with pytest.raises(CorruptCacheError, match=path):
            file.narinfo(wrong)


def test_what_a_killed_run_left_goes_and_what_a_living_one_writes_stays(tmp_path: Path) -> None:
    program = (
        "import os, sys; from graft.store.writable_cache import WritableCache\n"
        "from graft.formats.store_path import StoreDir\n"
        "cache = WritableCache.create(sys.argv[1], StoreDir('/nix/store'))\n"
        "with cache.writing(compression='none') as nar:\n"
        "    nar.write(b'x' * 1000); os.kill(os.getpid(), 9)\n"
    )
    url = f"file://{tmp_path}"
    subprocess.run([sys.executable, "-c", program, url], check=False)
    assert len(list(tmp_path.glob(".graft-*/*"))) == 1
    living = WritableCache.create(url, STORE)
    with living.writing() as writer:
        assert len(list(tmp_path.glob(".graft-*/*"))) == 1
        writer.write(archive_of(FILE))
        with WritableCache.create(url, STORE) as other:
            add_nar(other, "other-1", FILE)
        assert len(list(tmp_path.glob(".graft-*/*"))) == 1
        writer.finish()
    living.close()
    assert not list(tmp_path.glob(".graft-*"))


@as_ordinary_user
def test_a_cache_of_somebody_else_is_an_error(*, tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    add_nar(cache, "one-1", FILE)
    cache.close()
    tmp_path.chmod(0o555)
    with pytest.raises(StorePermissionError, match="file://"), cache.writing():
        pass
    with pytest.raises(StorePermissionError, match="may not be written"):
        cache.check_writable()
    assert len(cache.valid_paths()) == 1


def _rooted(directory: Path) -> LocalStore:
    location = Location.at_root(str(directory))
    LocalStore.create(location)
    return opened(location)


@pytest.mark.nix
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_nix_takes_what_is_written_from_directory_and_server(
    compression: str, tmp_path: Path
) -> None:
    key = SecretKey.generate("graft-1")
    with new_cache(tmp_path / "cache") as cache:
        # So long that zstd's threads share it.
        below = written(cache, "below-1", File(b"x" * (40 << 20)), compression=compression)
        text = STORE.path(below.path).encode()
        path = named_path("one-1", STORE)
        node = Folder({b"file": File(text), b"run": File(b"#!", executable=True)})
        top = written(cache, "one-1", node, [below.path, path], compression=compression)
        infos = [
            replace(
                info,
                signatures=frozenset(
                    {
                        key.sign(
                            fingerprint(
                                info.path, info.nar_hash, info.nar_size, info.references, STORE
                            )
                        )
                    }
                ),
            )
            for info in (below, top)
        ]
        cache.register(infos)
    full = STORE.path(top.path)

    copied = _rooted(tmp_path / "copied")
    nix = RealNix(copied.location, tmp_path)
    trusted = ["--option", "trusted-public-keys", str(key.public_key)]
    copy = ["copy", "--from", f"file://{tmp_path}/cache", full, "--to", str(tmp_path / "copied")]
    environment = nix.environment
    subprocess.run(["nix", *copy, *trusted], env=environment, check=True)
    nix.check()
    assert path_info(copied, top.path).references == {below.path, path}
    nix.run("nix", "store", "verify", "--sigs-needed", "1", *trusted, "-r", full)
    copied.close()

    substituted = _rooted(tmp_path / "substituted")
    nix = RealNix(substituted.location, tmp_path)
    with serving(tmp_path / "cache") as server:
        options = ["--option", "substituters", server.url, *trusted]
        nix.run("nix-store", "-r", full, *options)
    nix.check()
    assert set(substituted.path_infos([below.path, path])) == {below.path, path}
    substituted.close()


def test_a_chain_is_registered_from_its_end_whatever_the_order(tmp_path: Path) -> None:
    cache = new_cache(tmp_path)
    paths = [named_path(f"link-{number}", STORE) for number in range(4)]
    infos = [
        written(cache, f"link-{number}", File(b"%d" % number), paths[:number])
        for number in range(4)
    ]
    cache.register([infos[index] for index in (2, 0, 3, 1)])
    assert cache.valid_paths() == set(paths)


def test_of_a_cache_that_is_closed_nothing_is_left_but_its_files(tmp_path: Path) -> None:
    with new_cache(tmp_path) as cache:
        info = add_nar(cache, "one-1", FILE)
    names = {"nar", "nix-cache-info", f"{info.path.hash_part}.narinfo"}
    assert set(os.listdir(tmp_path)) == names
