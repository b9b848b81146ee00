"""Binary caches in buckets, of a real S3 server on loopback."""

from __future__ import annotations

import os
import pickle
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graft.errors import (
    BadStoreUrlError,
    CacheError,
    CorruptCacheError,
    StoreError,
    StoreMissingError,
    StorePermissionError,
)
from graft.formats.cache_info import CacheInfo
from graft.formats.narinfo import NarInfo
from graft.store.binary_cache import BinaryCache
from graft.store.caches.address import CacheAddress
from graft.store.caches.bucket import CacheBucket
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.writable_cache import WritableCache
from tests.archives import File, archive_of
from tests.buckets import BucketServer, bucket_server, cutting, sign_in
from tests.caches import STORE, add_nar, new_cache, read_nar, written
from tests.real_nix import RealNix
from tests.serving import Answer, Server, serving
from tests.store_objects import named_path

pytestmark = pytest.mark.slow

FILE = File(b"some contents\n" * 100)
LONG = File(random.Random(1).randbytes(5 << 20))  # read in two pieces
LARGE = File(LONG.contents * 4)  # written in parts


@pytest.fixture(scope="module")
def running() -> Iterator[BucketServer]:
    with bucket_server() as server:
        yield server


@pytest.fixture
def server(running: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> BucketServer:
    sign_in(monkeypatch, str(tmp_path))
    running.request("POST", "/moto-api/reset")
    running.make("bucket")
    return running


def _impatient(host: str, attempts: int = 3) -> WritableCache:
    """The cache, by a client that does not wait long."""
    address = CacheAddress.parse(BucketServer(host).url("bucket"))
    files = CacheBucket(address, attempts=attempts, wait=0.001)
    return WritableCache(address, files, CacheInfo(store_dir=STORE))


def _names(server: BucketServer) -> set[str]:
    with WritableCache.open(server.url("bucket")) as cache:
        assert isinstance(cache._files, CacheBucket)
        return set(cache._files.names())


@pytest.mark.parametrize(("prefix", "compression"), [("", "none"), ("/a/b c", "zstd")])
def test_what_is_written_is_read_back(prefix: str, compression: str, server: BucketServer) -> None:
    url = server.url(f"bucket{prefix}")
    with WritableCache.create(url, STORE) as cache:
        below = written(cache, "below-1", FILE, compression=compression)
        top = written(cache, "top-1", FILE, [below.path], compression=compression)
        assert cache.is_whole(below)
        assert not cache.valid_paths()
        cache.register([top, below])
        cache.check_writable()
        assert cache.free_bytes() is None
    with BinaryCache.open(url) as cache:
        assert cache.url == f"s3://bucket{prefix}"
        assert cache.valid_paths() == {below.path, top.path}
        assert cache.narinfos([below.path, top.path, named_path("other-1", STORE)]) == {
            below.path: below,
            top.path: top,
        }
        assert read_nar(cache, top.path) == archive_of(FILE)


def test_a_long_file_goes_and_comes_in_parts(server: BucketServer, tmp_path: Path) -> None:
    with new_cache(tmp_path) as source:
        info = add_nar(source, "one-1", LARGE, compression="none")
        with WritableCache.create(server.url("bucket"), STORE) as target:
            assert target.copy_nar(source, info.path) == info
            target.register([info])
            assert target.has_nar(info.path)
            assert read_nar(target, info.path, 1 << 20) == archive_of(LARGE)
    assert server.request("GET", f"/bucket/{info.url}") == archive_of(LARGE)


def test_threads_and_processes_write_beside_each_other(server: BucketServer) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        copy = pickle.loads(pickle.dumps(cache))
        with copy, ThreadPoolExecutor(4) as pool:
            numbers = range(12)
            infos = pool.map(
                lambda number: written(
                    copy if number % 2 else cache, f"many-{number}", File(b"%d" % number * 1000)
                ),
                numbers,
            )
            cache.register(list(infos))
        assert len(cache.valid_paths()) == 12


def test_nothing_is_there_until_it_is_whole(server: BucketServer) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        with pytest.raises(ZeroDivisionError), cache.writing(compression="none") as nar:
            nar.write(archive_of(LONG))
            nar.write(bytes(1 // 0))
        assert _names(server) == {"nix-cache-info"}
        info = written(cache, "one-1", FILE, [named_path("other-1", STORE)])
        with pytest.raises(CacheError, match="its reference"):
            cache.register([info])
        assert _names(server) == {"nix-cache-info", "nar"}


def test_a_bucket_that_is_not_there_is_an_error(server: BucketServer) -> None:
    for opened in (BinaryCache.open, lambda url: WritableCache.create(url, STORE)):
        with pytest.raises(StoreMissingError, match="there is no bucket 'missing'"):
            opened(server.url("missing"))
    with pytest.raises(StoreMissingError, match="no binary cache at 's3://bucket/x'"):
        BinaryCache.open(server.url("bucket/x"))
    assert (
        BinaryCache(
            CacheAddress.parse(server.url("bucket")),
            CacheBucket(CacheAddress.parse(server.url("bucket"))),
            CacheInfo(store_dir=STORE),
        ).valid_paths()
        == set()
    )


def test_credentials_that_are_not_known_are_an_error_without_them(server: BucketServer) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        written(cache, "one-1", FILE)
        server.request("POST", "/moto-api/reset-auth", b"0")
        try:
            for call in (
                lambda: BinaryCache.open(server.url("bucket")),
                lambda: written(cache, "two-1", FILE),
                cache.valid_paths,
                lambda: cache.narinfos([named_path("one-1", STORE)]),
            ):
                with pytest.raises(StorePermissionError, match="InvalidAccessKeyId") as raised:
                    call()
                assert "a-secret" not in repr(vars(raised.value))
                assert "an-id" not in repr(vars(raised.value))
        finally:
            server.request("POST", "/moto-api/reset-auth", b"1000000")


def test_what_a_policy_forbids_is_an_error(server: BucketServer) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        info = add_nar(cache, "one-1", FILE)
        server.allow("bucket", "Deny", "s3:GetObject", "s3:PutObject")
        with pytest.raises(StorePermissionError, match="written: the server answered 403"):
            written(cache, "two-1", File(b"x"))
        with pytest.raises(StorePermissionError, match="403"):
            BinaryCache.open(server.url("bucket"))
        with pytest.raises(StorePermissionError, match="403"):
            read_nar(cache, info.path)
        # Whoever may not list names is told this of absent files too.
        assert cache.narinfos([named_path("absent-1", STORE)]) == {}


def test_without_credentials_requests_are_not_signed(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        info = add_nar(cache, "one-1", FILE)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with BinaryCache.open(server.url("bucket")) as cache:
        assert read_nar(cache, info.path) == archive_of(FILE)
    with pytest.raises(StoreError, match=r"profile \(nobody\)"):
        BinaryCache.open(server.url("bucket", "profile=nobody"))


def test_the_endpoint_of_the_environment_and_of_a_profile_are_used(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    WritableCache.create(server.url("bucket"), STORE).close()
    with monkeypatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{server.host}")
        BinaryCache.open("s3://bucket?region=eu-west-1").close()
    configuration = tmp_path / ".aws" / "config"
    configuration.parent.mkdir()
    configuration.write_text(
        f"[profile other]\nendpoint_url = http://{server.host}\nregion = us-east-1\n"
        "aws_access_key_id = x\naws_secret_access_key = y\n"
    )
    BinaryCache.open("s3://bucket?profile=other").close()


@pytest.mark.parametrize("cuts", [[10_000], [10_000, 2_000_000]])
def test_a_cut_connection_is_taken_up_again(cuts: list[int], server: BucketServer) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        info = add_nar(cache, "one-1", LONG, compression="none")
    with cutting(server.host, cuts) as host, _impatient(host) as cache:
        assert read_nar(cache, info.path, 1 << 20) == archive_of(LONG)
    assert not cuts


def test_a_connection_that_is_cut_again_and_again_is_an_error(
    server: BucketServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr("graft.store.caches.bucket.time.sleep", waited.append)
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        info = add_nar(cache, "one-1", LONG, compression="none")
    with (
        cutting(server.host, [10_000] * 100) as host,
        _impatient(host) as cache,
        pytest.raises(CacheError, match=f"'{info.url}'.*cut 3 times") as raised,
    ):
        read_nar(cache, info.path)
    assert raised.value.message.isprintable()
    assert waited == [0.001, 0.002]


@pytest.mark.parametrize("change", ["other", "shorter", "removed"])
def test_a_file_that_changes_while_it_is_read_is_an_error(
    change: str, server: BucketServer
) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        info = add_nar(cache, "one-1", LONG, compression="none")
        buffer = memoryview(bytearray(1 << 20))
        with cache.nar(info.path) as nar, pytest.raises(CacheError, match="changed or removed"):
            nar.readinto(buffer)
            if change == "removed":
                server.request("DELETE", f"/bucket/{info.url}")
            else:
                sizes = {"other": info.nar_size, "shorter": 100}
                server.request("PUT", f"/bucket/{info.url}", bytes(sizes[change]))
            while nar.readinto(buffer):
                pass


@pytest.mark.parametrize("change", ["other", "shorter", "empty", "removed"])
def test_a_file_that_is_not_what_was_promised_is_an_error(
    change: str, server: BucketServer, tmp_path: Path
) -> None:
    with WritableCache.create(server.url("bucket"), STORE) as cache:
        info = add_nar(cache, "one-1", FILE, compression="none")
        if change == "removed":
            server.request("DELETE", f"/bucket/{info.url}")
        else:
            sizes = {"other": info.nar_size, "shorter": 100, "empty": 0}
            server.request("PUT", f"/bucket/{info.url}", bytes(sizes[change]))
        kind = CacheError if change == "removed" else CorruptCacheError
        with new_cache(tmp_path) as target, pytest.raises(kind, match=info.url):
            target.copy_nar(cache, info.path)
        assert cache.has_nar(info.path) == (change == "other")


def test_a_server_that_is_not_there_is_an_error(server: BucketServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = f"127.0.0.1:{taken.getsockname()[1]}"
    with _impatient(host, 1) as cache, pytest.raises(CacheError, match="connect") as raised:
        cache.narinfos([named_path("one-1", STORE)])
    assert raised.value.message.isprintable()


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A server that is none of Amazon's, with a cache in what should be a bucket."""
    sign_in(monkeypatch, str(tmp_path))
    with new_cache(tmp_path / "bucket") as cache:
        add_nar(cache, "one-1", FILE, compression="none")
    with serving(tmp_path) as server:
        yield server


def _served(server: Server, attempts: int = 2) -> WritableCache:
    return _impatient(server.url.removeprefix("http://"), attempts)


def test_what_fails_for_a_moment_is_tried_again(served: Server) -> None:
    failures = [503]

    def fail(_name: str, answer: Answer) -> None:
        if failures:
            answer.status = failures.pop()

    served.spoil = fail
    with _served(served) as cache:
        assert len(cache.narinfos([named_path("one-1", STORE)])) == 1
    assert not failures
    assert len(served.requests) == 2


@pytest.mark.parametrize(
    ("headers", "match"),
    [
        ({"Content-Length": str(1 << 40)}, "another part than asked for"),
        ({"Content-Range": "bytes 7-9/10"}, "another part than asked for"),
        ({"Content-Range": "bytes 0-/x"}, "another part than asked for"),
        ({"Content-Length": "9999"}, "cut 2 times"),
    ],
)
def test_an_answer_that_is_another_than_asked_for_is_an_error(
    headers: dict[str, str], match: str, served: Server
) -> None:
    def lie(name: str, answer: Answer) -> None:
        if name.endswith(".nar"):
            answer.headers.update(headers)
            answer.cut = 100

    served.spoil = lie
    with _served(served) as cache, pytest.raises(CacheError, match=match) as raised:
        read_nar(cache, named_path("one-1", STORE))
    assert raised.value.message.isprintable()


def test_a_text_without_end_is_an_error(served: Server) -> None:
    def lie(_name: str, answer: Answer) -> None:
        answer.headers["Content-Length"] = str(1 << 40)
        answer.cut = 100

    served.spoil = lie
    with _served(served) as cache, pytest.raises(CacheError, match="longer than any such file"):
        cache.narinfos([named_path("one-1", STORE)])


@pytest.mark.parametrize("code", ["Bad&#27;[2J", "a-secret an-id", "x" * 500])
def test_nothing_of_what_a_server_says_is_repeated_but_its_word(code: str, served: Server) -> None:
    def lie(_name: str, answer: Answer) -> None:
        answer.status = 418
        text = f"<Error><Code>{code}</Code><Message>a-secret</Message></Error>"
        answer.body = text.encode()
        answer.headers["Content-Length"] = str(len(answer.body))

    served.spoil = lie
    with (
        _served(served) as cache,
        pytest.raises(CacheError, match=r"answered (an error|418)$") as raised,
    ):
        cache.narinfos([named_path("one-1", STORE)])
    assert "secret" not in repr(vars(raised.value))
    assert raised.value.message.isprintable()


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("s3://key:secret@bucket", "no bucket"),
        ("s3://b!cket", "no bucket"),
        ("s3://bucket/a%0Ab", "no bucket"),
        ("s3://bucket?scheme=ftp", "neither http nor https"),
        ("s3://bucket?endpoint=me:secret@host", "'endpoint' is no host"),
        ("s3://bucket?write-nar-listing=1", "'write-nar-listing': s3 takes priority, region"),
    ],
)
def test_what_is_no_address_of_a_bucket_is_an_error(url: str, match: str) -> None:
    with pytest.raises(BadStoreUrlError, match=match) as raised:
        BinaryCache.open(url)
    assert "secret@" not in repr(vars(raised.value))


def test_a_place_without_room_for_what_is_not_whole_is_an_error(server: BucketServer) -> None:
    program = """
import resource, sys
from graft.errors import StoreError
from graft.formats.store_path import StoreDir
from graft.store.writable_cache import WritableCache
with WritableCache.create(sys.argv[1], StoreDir("/nix/store")) as cache:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
    try:
        with cache.writing(compression="none") as nar:
            nar.write(bytes(4 << 20))
    except StoreError as error:
        print(error.message)
"""
    command = [sys.executable, "-c", program, server.url("bucket")]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "name another directory with TMPDIR" in result.stdout


def test_without_boto3_the_error_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "boto3.py").write_text("raise ImportError\n")
    program = """
from graft.errors import CacheError
from graft.store.binary_cache import BinaryCache
try:
    BinaryCache.open("s3://bucket")
except CacheError as error:
    print(error.message)
"""
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "pip install 'nix-graft[s3]'" in result.stdout


@pytest.mark.nix
def test_nix_takes_what_is_written_from_the_server(server: BucketServer, tmp_path: Path) -> None:
    with WritableCache.create(server.url("bucket/a"), STORE) as cache:
        below = add_nar(cache, "below-1", FILE)
        path = named_path("one-1", STORE)
        text = STORE.path(below.path).encode() + STORE.path(path).encode()
        info: NarInfo = add_nar(cache, "one-1", File(text), [below.path, path])
    location = Location.at_root(str(tmp_path / "root"))
    LocalStore.create(location)
    nix = RealNix(location, tmp_path)
    full = STORE.path(info.path)
    # Not every Nix is built for buckets; that of a public one is at an ordinary address.
    source = f"http://{server.host}/bucket/a"
    command = ["nix", "copy", "--no-check-sigs", "--from", source, "--to", str(tmp_path / "root")]
    subprocess.run([*command, full], env=nix.environment, check=True)
    nix.check()
