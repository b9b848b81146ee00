"""Binary caches behind servers: real ones on loopback, which fail as servers and networks do."""

from __future__ import annotations

import base64
import bz2
import datetime as dt
import gzip
import http.server
import ipaddress
import lzma
import os
import pickle
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from graft.errors import (
    BadFormatError,
    BadStoreUrlError,
    CacheError,
    CorruptCacheError,
    StoreMissingError,
)
from graft.formats.narinfo import NarInfo
from graft.formats.zstd import zstd_module
from graft.store.binary_cache import BinaryCache
from graft.store.caches.address import CacheAddress
from graft.store.caches.server import CacheServer
from graft.store.writable_cache import WritableCache
from tests.archives import File, archive_of
from tests.caches import STORE, add_nar, new_cache, read_nar, spoil
from tests.serving import Answer, Server, serving
from tests.store_objects import named_path

NODE = File(bytes(range(256)) * 4000)  # about 1 MB
ATTEMPTS = 3


@pytest.fixture
def info(tmp_path: Path) -> NarInfo:
    with new_cache(tmp_path) as cache:
        return add_nar(cache, "one-1", NODE, compression="none")


@pytest.fixture
def server(tmp_path: Path, info: NarInfo) -> Iterator[Server]:
    with serving(tmp_path) as server:
        yield server


def _open(server: Server) -> BinaryCache:
    """The cache, by a client that does not wait long."""
    opened = BinaryCache.open(server.url)
    files = CacheServer(server.url, attempts=ATTEMPTS, wait=0.001, timeout=5)
    opened.close()
    return BinaryCache(CacheAddress.parse(server.url), files, opened.info)


def _ranges(server: Server, info: NarInfo) -> list[str | None]:
    return [range_ for path, range_ in server.requests if path == f"/{info.url}"]


def test_a_path_is_read(server: Server, info: NarInfo) -> None:
    with BinaryCache.open(f"{server.url}/") as cache:
        assert cache.url == server.url
        assert cache.narinfos([info.path]) == {info.path: info}
        assert cache.path_infos([named_path("other-1", cache.store_dir)]) == {}
        assert read_nar(cache, info.path) == archive_of(NODE)


def test_many_paths_are_asked_for_once_each(server: Server, tmp_path: Path) -> None:
    with new_cache(tmp_path) as cache:
        infos = [add_nar(cache, f"many-{number}", File(b"x")) for number in range(20)]
    with _open(server) as cache:
        paths = [info.path for info in infos]
        missing = [named_path(f"missing-{number}", cache.store_dir) for number in range(20)]
        assert cache.narinfos(paths + missing + paths) == {info.path: info for info in infos}
        assert cache.narinfos(paths) == {info.path: info for info in infos}
    asked = [path for path, _ in server.requests if path.endswith(".narinfo")]
    assert len(asked) == len(set(asked)) == 40


def test_what_a_server_has_cannot_be_listed(server: Server) -> None:
    with _open(server) as cache, pytest.raises(CacheError, match="cannot list its paths"):
        cache.valid_paths()
    with pytest.raises(BadStoreUrlError, match="only be read"):
        WritableCache.create(server.url, STORE)


@pytest.mark.parametrize("cuts", [[0], [1], [1000], [1000, 0], [0, 999_999], [1, 1]])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_cut_connection_is_taken_up_where_it_was_cut(
    ranges: bool, cuts: list[int], server: Server, info: NarInfo
) -> None:
    server.ranges = ranges
    waiting = list(cuts)

    def cut(name: str, answer: Answer) -> None:
        if name == info.url and waiting:
            answer.cut = waiting.pop(0)

    server.spoil = cut
    with _open(server) as cache:
        assert read_nar(cache, info.path) == archive_of(NODE)
    asked = _ranges(server, info)
    assert len(asked) == len(cuts) + 1
    if ranges:
        assert asked[-1] == (f"bytes={sum(cuts)}-" if sum(cuts) else None)


@pytest.mark.parametrize(
    ("tag", "cut_at", "named"), [('"t"', 9, '"t"'), ('W/"t"', 9, None), ('"t"', 0, None)]
)
def test_a_rest_is_asked_for_of_the_version_that_a_strong_tag_names(
    tag: str, cut_at: int, named: str | None, server: Server, info: NarInfo
) -> None:
    def cut(name: str, answer: Answer) -> None:
        answer.headers["ETag"] = tag
        if name == info.url and len(_ranges(server, info)) == 1:
            answer.cut = cut_at

    server.spoil = cut
    with _open(server) as cache:
        assert read_nar(cache, info.path) == archive_of(NODE)
    assert server.headers[-1]["If-Range"] == named


def test_a_connection_that_is_cut_again_and_again_is_an_error(
    server: Server, info: NarInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(name: str, answer: Answer) -> None:
        if name == info.url:
            answer.cut = 10

    waited: list[float] = []
    monkeypatch.setattr("graft.store.caches.server.time.sleep", waited.append)
    server.spoil = cut
    said = r"cut 3 times, the last time at byte 30 \(connection broken: incompleteread\("
    with _open(server) as cache, pytest.raises(CacheError, match=said):
        read_nar(cache, info.path)
    assert len(_ranges(server, info)) == ATTEMPTS
    assert waited == [0.001, 0.002]


@pytest.mark.parametrize(("piece", "enough"), [(1 << 20, True), ((1 << 20) - 1, False)])
def test_a_connection_that_is_cut_after_a_megabyte_is_the_first_one_again(
    piece: int, enough: bool, server: Server, tmp_path: Path
) -> None:
    def cut(name: str, answer: Answer) -> None:
        if name == "file":
            answer.cut = piece

    (tmp_path / "file").write_bytes(bytes(piece * 2 + 1))
    server.spoil = cut
    files = CacheServer(server.url, attempts=2, wait=0.001)
    stream, buffer, size = files.open("file"), memoryview(bytearray(1 << 20)), 0
    try:
        while read := stream.readinto(buffer):
            size += read
    except CacheError as error:
        assert "cut 2 times" in error.message  # noqa: PT017 - one of the two cases
    files.close()
    assert (size == piece * 2 + 1) == enough


def test_a_file_that_changes_while_it_is_read_is_an_error(
    server: Server, info: NarInfo, tmp_path: Path
) -> None:
    def cut(name: str, answer: Answer) -> None:
        if name == info.url and answer.status == 200:
            answer.cut = 1000
            file = tmp_path / info.url
            file.write_bytes(bytes(info.nar_size))
            os.utime(file, ns=(1, 1))

    server.spoil = cut
    with _open(server) as cache, pytest.raises(CacheError, match="changed or removed while"):
        read_nar(cache, info.path)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("change", ["removed", "shorter", "longer", "other"])
def test_a_file_that_changes_without_a_tag_is_an_error(
    change: str, ranges: bool, server: Server, info: NarInfo, tmp_path: Path
) -> None:
    server.ranges = ranges

    def cut(name: str, answer: Answer) -> None:
        answer.headers.pop("ETag", None)
        if name == info.url and len(_ranges(server, info)) == 1:
            answer.cut = 1000
            file = tmp_path / info.url
            if change == "removed":
                file.unlink()
            else:
                sizes = {"shorter": 500, "longer": info.nar_size + 1, "other": info.nar_size}
                file.write_bytes(bytes(sizes[change]))

    server.spoil = cut
    # Only its hash tells a file of the same length from the one that was begun.
    said = "has another" if change == "other" else "changed or removed while"
    with _open(server) as cache, pytest.raises(CacheError, match=said):
        read_nar(cache, info.path)


def test_a_rest_of_a_file_whose_length_is_not_said_is_taken(server: Server, info: NarInfo) -> None:
    def cut(name: str, answer: Answer) -> None:
        if name == info.url and answer.status == 200:
            answer.cut = 1000
        elif name == info.url:
            answer.headers["Content-Range"] = f"bytes 1000-{info.nar_size - 1}/*"

    server.spoil = cut
    with _open(server) as cache:
        assert read_nar(cache, info.path) == archive_of(NODE)


@pytest.mark.parametrize("part", ["bytes 0-9/10", "bytes 999-1000/*", "", "x"])
def test_another_part_than_asked_for_is_an_error(part: str, server: Server, info: NarInfo) -> None:
    def cut(name: str, answer: Answer) -> None:
        if name == info.url and answer.status == 206:
            answer.headers["Content-Range"] = part
        elif name == info.url:
            answer.cut = 1000

    server.spoil = cut
    with _open(server) as cache, pytest.raises(CacheError, match="another part"):
        read_nar(cache, info.path)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_fails_for_a_moment_is_tried_again(status: int, server: Server, info: NarInfo) -> None:
    failed: set[str] = set()

    def fail(name: str, answer: Answer) -> None:
        if name not in failed:
            failed.add(name)
            answer.status, answer.body = status, b"later\n"
            answer.headers = {"Content-Length": "6", "Retry-After": "0"}

    with _open(server) as cache:
        server.spoil = fail
        assert read_nar(cache, info.path) == archive_of(NODE)
    assert len(failed) == 2


@pytest.mark.parametrize(("status", "asked"), [(500, ATTEMPTS), (401, 1), (302, 1), (418, 1)])
def test_what_goes_on_failing_is_an_error_that_says_how(
    status: int, asked: int, server: Server, info: NarInfo
) -> None:
    def fail(_name: str, answer: Answer) -> None:
        answer.status = status

    with _open(server) as cache:
        server.requests.clear()
        server.spoil = fail
        with pytest.raises(CacheError, match=f"the server answered {status}"):
            cache.path_infos([info.path])
    assert len(server.requests) == asked


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_not_valid(status: int, server: Server, info: NarInfo) -> None:
    def fail(_name: str, answer: Answer) -> None:
        answer.status = status

    with _open(server) as cache:
        server.spoil = fail
        assert cache.path_infos([info.path]) == {}
        with pytest.raises(StoreMissingError):
            BinaryCache.open(server.url)


def test_a_server_that_sends_more_than_it_says_is_an_error(
    server: Server, info: NarInfo, tmp_path: Path
) -> None:
    (tmp_path / info.url).write_bytes(archive_of(NODE) + b"x")
    with _open(server) as cache, pytest.raises(CorruptCacheError, match=info.path):
        read_nar(cache, info.path)


_ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": lambda data: zstd_module().compress(data),
    "identity": bytes,
    "gzip, xz": lambda data: lzma.compress(gzip.compress(data)),
}


@pytest.mark.parametrize("encoding", _ENCODERS)
def test_the_encoding_of_a_narinfo_is_undone(server: Server, info: NarInfo, encoding: str) -> None:
    """As a cache has them that was written with narinfo-compression."""

    def encode(name: str, answer: Answer) -> None:
        if name.endswith(".narinfo"):
            answer.headers["Content-Encoding"] = encoding
            answer.body = _ENCODERS[encoding](answer.body)
            answer.headers["Content-Length"] = str(len(answer.body))

    server.spoil = encode
    with _open(server) as cache:
        assert cache.narinfos([info.path]) == {info.path: info}
        assert read_nar(cache, info.path) == archive_of(NODE)


def test_an_encoding_that_cannot_be_undone_is_an_error(server: Server, info: NarInfo) -> None:
    def encode(_name: str, answer: Answer) -> None:
        answer.headers["Content-Encoding"] = encoding

    with _open(server) as cache:
        server.spoil = encode
        encoding = "br"
        with pytest.raises(CacheError, match="in the encoding 'br', and graft reads gzip"):
            cache.path_infos([info.path])
        encoding = "gzip"
        with pytest.raises(CacheError, match=info.path.hash_part):
            cache.path_infos([info.path])


def test_the_encoding_of_a_nar_is_an_error(server: Server, info: NarInfo) -> None:
    def encode(name: str, answer: Answer) -> None:
        if name == info.url:
            answer.headers["Content-Encoding"] = "gzip"

    server.spoil = encode
    with _open(server) as cache, pytest.raises(CacheError, match="was not requested"):
        read_nar(cache, info.path)


def test_a_password_comes_from_the_netrc_file_of_nix(
    server: Server, info: NarInfo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = "Basic " + base64.b64encode(b"reader:secret").decode()

    def guard(_name: str, answer: Answer) -> None:
        if server.headers[-1].get("Authorization") != wanted:
            answer.status, answer.body = 401, b""
            answer.headers = {"Content-Length": "0"}

    server.spoil = guard
    file = tmp_path / "netrc"
    monkeypatch.setenv("NIX_CONFIG", f"netrc-file = {file}")
    with pytest.raises(CacheError, match="401 Unauthorized: give a name and a password in the URL"):
        BinaryCache.open(server.url)
    file.write_text("machine elsewhere login a password b\n")
    with pytest.raises(CacheError, match="401"):
        BinaryCache.open(server.url)
    file.write_text("machine 127.0.0.1 login reader password secret\n")
    with BinaryCache.open(server.url) as cache:
        assert cache.narinfos([info.path]) == {info.path: info}
    file.write_text("machine 127.0.0.1 login reader password secret secrets\n")
    with pytest.raises(BadFormatError, match="is malformed: correct it") as caught:
        BinaryCache.open(server.url)
    assert "secret" not in caught.value.message.partition("malformed")[2]
    # A password in the URL goes before.
    file.write_text("machine 127.0.0.1 login reader password other\n")
    with BinaryCache.open(server.url.replace("://", "://reader:secret@")) as cache:
        assert cache.narinfos([info.path]) == {info.path: info}


def test_a_text_without_end_is_an_error(server: Server, info: NarInfo) -> None:
    def endless(name: str, answer: Answer) -> None:
        if name.endswith(".narinfo"):
            answer.body = b"X: y\n" * (4 << 20)
            answer.headers["Content-Length"] = str(len(answer.body))

    server.spoil = endless
    with _open(server) as cache, pytest.raises(CacheError, match="longer than any such file"):
        cache.path_infos([info.path])


def test_a_text_may_be_as_long_as_the_limit(
    server: Server, info: NarInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CacheServer(server.url)
    text = files.read("nix-cache-info")
    assert text is not None
    monkeypatch.setattr("graft.store.caches.server.LARGEST_TEXT", len(text))
    assert files.read("nix-cache-info") == text
    monkeypatch.setattr("graft.store.caches.server.LARGEST_TEXT", len(text) - 1)
    with pytest.raises(CacheError, match="longer than any such file"):
        files.read("nix-cache-info")
    files.close()


def test_a_file_without_end_is_an_error(server: Server, info: NarInfo, tmp_path: Path) -> None:
    # Streams of xz that expand to nothing, and no word of how many there are.
    spoil(tmp_path, info.path, compression="xz", file_hash=None, file_size=None, nar_size=1000)
    with new_cache(tmp_path) as written, written.writing(compression="xz") as nar:
        empty = (tmp_path / nar.finish().url).read_bytes()
    (tmp_path / info.url).write_bytes(empty * 40_000)
    with _open(server) as cache, pytest.raises(CorruptCacheError, match="has more than"):
        read_nar(cache, info.path)


def test_a_server_that_is_not_there_is_an_error_without_addresses_of_objects() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CacheError, match="connection refused") as raised:
            CacheServer(url, attempts=2, wait=0.001).read("x")
    assert "0x" not in raised.value.message
    assert "\n" not in raised.value.message


def test_a_server_that_says_nothing_is_an_error() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(CacheError, match="timed out"):
            CacheServer(url, attempts=1, timeout=0.05).read("x")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_followed(status: int, server: Server, info: NarInfo) -> None:
    def redirect(name: str, answer: Answer) -> None:
        if name == info.url:
            answer.status, answer.body = status, b""
            answer.headers = {"Location": f"/{name}?elsewhere", "Content-Length": "0"}
        elif name == f"{info.url}?elsewhere":
            answer.status, answer.body = 200, archive_of(NODE)
            answer.headers = {"Content-Length": str(info.nar_size)}

    server.spoil = redirect
    with _open(server) as cache:
        assert read_nar(cache, info.path) == archive_of(NODE)


@pytest.mark.parametrize(("redirections", "found"), [(5, True), (6, False)])
def test_a_file_is_redirected_five_times_at_most(
    redirections: int, found: bool, server: Server, info: NarInfo
) -> None:
    def redirect(name: str, answer: Answer) -> None:
        number = int(name.removeprefix("at-"))
        answer.status, answer.body = (302, b"") if number < redirections else (200, b"here")
        answer.headers = {"Content-Length": str(len(answer.body)), "Location": f"at-{number + 1}"}

    server.spoil = redirect
    files = CacheServer(server.url)
    if found:
        assert files.read("at-0") == b"here"
    else:
        with pytest.raises(CacheError, match="redirects it without end"):
            files.read("at-0")
    files.close()
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("/{}", "redirects it without end"),
        ("file:///etc/passwd", "redirects it to a bad address"),
        ("http://[x", "redirects it to a bad address"),
        ("gopher://x", "redirects it to a bad address"),
        ("https:///x", "redirects it to a bad address"),
        ("/\xa0", "redirects it to a bad address"),
    ],
)
def test_a_redirection_to_nowhere_is_an_error(
    target: str, said: str, server: Server, info: NarInfo
) -> None:
    def redirect(name: str, answer: Answer) -> None:
        if name == info.url:
            answer.status, answer.body = 302, b""
            answer.headers = {"Location": target.format(name), "Content-Length": "0"}

    server.spoil = redirect
    with _open(server) as cache, pytest.raises(CacheError, match=f"'{info.url}'.*{said}") as raised:
        read_nar(cache, info.path)
    assert raised.value.message.isprintable()


@pytest.mark.parametrize("length", ["x", "-1", "1, 2", str(2**70)])
def test_a_length_that_is_none_is_an_error(length: str, server: Server, info: NarInfo) -> None:
    def lie(name: str, answer: Answer) -> None:
        if name == info.url:
            answer.headers["Content-Length"] = length
            answer.cut = 1000

    server.spoil = lie
    with _open(server) as cache, pytest.raises(CacheError):
        read_nar(cache, info.path)


def _certificate(directory: Path) -> Path:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    address = x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = directory / "certificate"
    file.write_bytes(
        certificate.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return file


def test_a_certificate_is_checked(
    tmp_path: Path, info: NarInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate = _certificate(tmp_path)
    context.load_cert_chain(certificate)
    with serving(tmp_path, context) as server:
        assert server.url.startswith("https://")
        with pytest.raises(CacheError, match="certificate"):
            CacheServer(server.url, attempts=1).read("nix-cache-info")
        monkeypatch.setenv("NIX_SSL_CERT_FILE", str(certificate))
        with BinaryCache.open(server.url) as cache:
            assert read_nar(cache, info.path) == archive_of(NODE)


def test_a_password_does_not_go_to_another_server(
    server: Server, info: NarInfo, tmp_path: Path
) -> None:
    with serving(tmp_path) as other:

        def redirect(name: str, answer: Answer) -> None:
            answer.status, answer.body = 307, b""
            answer.headers = {"Location": f"{other.url}/{name}", "Content-Length": "0"}

        server.spoil = redirect
        files = CacheServer(server.url.replace("://", "://me:secret@"))
        assert files.read("nix-cache-info") is not None
        files.close()
        assert [one["Authorization"] is not None for one in server.headers] == [True]
        assert [one["Authorization"] is not None for one in other.headers] == [False]


def test_a_password_is_sent_and_never_shown(server: Server, info: NarInfo) -> None:
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            self.send_response(500)
            self.end_headers()

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as asking:
        thread = threading.Thread(target=asking.handle_request)
        thread.start()
        url = f"http://me:se%3Acret@127.0.0.1:{asking.server_port}"
        files = CacheServer(url, attempts=1)
        with pytest.raises(CacheError) as raised:
            files.read("x")
        thread.join()
    assert seen == ["Basic " + base64.b64encode(b"me:se:cret").decode()]
    assert "cret" not in repr(vars(raised.value))
    assert files.url == f"http://127.0.0.1:{asking.server_port}"


def test_an_unpickled_cache_still_has_its_password(server: Server, info: NarInfo) -> None:
    url = server.url.replace("://", "://me:secret@") + "?priority=7"
    with BinaryCache.open(url) as cache, pickle.loads(pickle.dumps(cache)) as copy:
        server.headers.clear()
        assert read_nar(copy, info.path) == archive_of(NODE)
        assert (copy.priority, copy.url) == (7, server.url)
    assert all(one["Authorization"] for one in server.headers)


@pytest.mark.parametrize("url", ["http://", "http://host/?priority=1", "https:///x", "http://h/#x"])
def test_what_is_no_address_of_a_server_is_an_error(url: str) -> None:
    with pytest.raises(BadStoreUrlError):
        CacheServer(url)


def test_the_proxy_of_the_environment_is_used(
    server: Server, info: NarInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with _open(server):
        pass
    monkeypatch.delenv("no_proxy")
    server.requests.clear()
    assert CacheServer("http://cache.invalid", attempts=1).read("nix-cache-info") is None
    assert server.requests == [("http://cache.invalid/nix-cache-info", None)]


@contextmanager
def _answering(*answers: bytes) -> Iterator[tuple[str, list[list[bytes]]]]:
    """A server of few words: its URL, and the requests of each connection.

    Each request gets the next answer; an empty answer, or the lack of one, ends the connection.
    Where a client ends a connection, the last request is empty.
    """
    waiting, connections = list(answers), list[list[bytes]]()

    def answer(connection: socket.socket) -> None:
        requests: list[bytes] = []
        connections.append(requests)
        with connection, suppress(ConnectionError):
            while True:
                requests.append(connection.recv(65_536))
                if not requests[-1] or not waiting or not (text := waiting.pop(0)):
                    return
                connection.sendall(text)
                if b"Content-Length" not in text:
                    return

    def serve() -> None:
        with suppress(OSError), ThreadPoolExecutor() as pool:
            while True:
                pool.submit(answer, listening.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", connections
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.mark.parametrize(
    ("given", "asked"), [({"attempts": 1}, 1), ({"attempts": 2}, 2), ({"attempts": 3}, 3), ({}, 5)]
)
def test_an_answer_that_is_never_begun_is_asked_for_as_often_as_was_said(
    given: dict[str, int], asked: int
) -> None:
    with _answering() as (url, connections):
        files = CacheServer(url, wait=0.001, timeout=5, **given)
        with pytest.raises(CacheError, match=r"read: connection aborted$"):
            files.read("x")
        files.close()
    assert len(connections) == asked


@pytest.mark.parametrize(("attempts", "tried"), [(1, 1), (3, 3)])
def test_a_server_that_is_not_there_is_called_as_often_as_was_said(
    attempts: int, tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[object] = []
    connect = socket.socket.connect

    class Telling(socket.socket):
        def connect(self, address: Any) -> None:
            called.append(address)
            connect(self, address)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    monkeypatch.setattr(socket, "socket", Telling)
    with pytest.raises(CacheError, match="connection refused"):
        CacheServer(url, attempts=attempts, wait=0.001).read("x")
    assert len(called) == tried


def test_a_certificate_nobody_trusts_is_not_looked_at_twice(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    hellos: list[object] = []
    context.sni_callback = lambda *hello: hellos.append(hello)
    with serving(tmp_path, context) as server, pytest.raises(CacheError, match="certificate"):
        CacheServer(server.url, attempts=3, wait=0.001).read("nix-cache-info")
    assert len(hellos) == 1


def test_sixteen_files_are_read_at_once() -> None:
    files = CacheServer("http://cache.invalid")
    assert files.connections == 16
    files.close()


def _answer(status: int, body: bytes, length: bool = True) -> bytes:
    said = f"Content-Length: {len(body)}\r\n" if length else ""
    return f"HTTP/1.1 {status} said\r\n{said}\r\n".encode() + body


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (_answer(404, b"none"), 1),
        (_answer(404, bytes(65_536)), 1),
        (_answer(404, bytes(65_537)), 2),
        (_answer(404, b"none", length=False), 2),
    ],
)
def test_a_short_answer_of_no_interest_is_read_to_keep_the_connection(
    answer: bytes, connections: int
) -> None:
    with _answering(answer, _answer(200, b"here")) as (url, seen):
        files = CacheServer(url, attempts=1)
        assert files.read("x") is None
        assert files.read("y") == b"here"
        files.close()
    assert len(seen) == connections


def test_the_connections_end_with_the_cache() -> None:
    with _answering(_answer(200, b"here")) as (url, seen):
        files = CacheServer(url)
        assert files.read("x") == b"here"
        ((request,),) = seen
        assert request.startswith(b"GET /x HTTP/1.1")
        files.close()
    assert seen == [[request, b""]]


def test_a_file_that_is_left_in_the_middle_ends_its_connection() -> None:
    with _answering(_answer(200, bytes(100_000))) as (url, seen):
        files = CacheServer(url)
        stream = files.open("x")
        assert stream.readinto(memoryview(bytearray(10))) == 10
        stream.close()
        assert stream._response.closed
        files.close()
    assert len(seen) == 1


@pytest.mark.parametrize(("again", "said"), [(b"9\r\n123456789", None), (b"4\r\n1234", "changed")])
def test_a_file_whose_length_is_not_said_is_read_again_to_where_it_was_cut(
    again: bytes, said: str | None
) -> None:
    head = b"HTTP/1.1 200 said\r\nTransfer-Encoding: chunked\r\n\r\n"
    answers = head + b"5\r\n12345\r\n", head + again + b"\r\n0\r\n\r\n"
    buffer = memoryview(bytearray(5))
    with _answering(*answers) as (url, _):
        files = CacheServer(url, wait=0.001)
        stream = files.open("x")
        assert stream.readinto(buffer) == 5
        if said is None:
            assert stream.readinto(buffer) == 4
            assert bytes(buffer[:4]) == b"6789"
            assert stream.readinto(buffer) == 0
        else:
            with pytest.raises(CacheError, match=said):
                stream.readinto(buffer)
        files.close()


def test_a_server_may_ask_for_time_but_not_for_long(
    server: Server, info: NarInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_name: str, answer: Answer) -> None:
        if not waited:
            answer.status, answer.headers["Retry-After"] = 503, "3600"

    waited: list[float] = []
    monkeypatch.setattr("graft.store.caches.server.time.sleep", waited.append)
    server.spoil = busy
    files = CacheServer(server.url, wait=0.001)
    assert files.read("nix-cache-info") is not None
    files.close()
    assert waited == [30.0]
