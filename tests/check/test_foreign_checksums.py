"""Sums of changed files, wherever they are kept: each is told, and nothing else is."""

from __future__ import annotations

import base64
import bz2
import gzip
import hashlib
import hmac
import json
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from graft.formats.hashing import nix32_encode
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.api import Source, Target, path_info
from graft.store.local import LocalStore
from graft.store.location import Location
from tests.caches import cache_of, new_cache
from tests.fixups.samples import ar, tar, zipped
from tests.graftable import Graftable
from tests.store_objects import Contents, add_object, opened

Files = dict[str, Contents]


@pytest.fixture
def it(tmp_path: Path) -> Graftable:
    location = Location.at_root(str(tmp_path / "here"))
    LocalStore.create(location)
    return Graftable.build(opened(location))


def told(it: Graftable, files: Files, *more: StorePath, fixups: tuple[str, ...] = ()) -> list[str]:
    """The warnings of checksums for a path of some files that is grafted."""
    root = add_object(it.store, "tool-1", files, [it.old, *more])
    outcome = apply(it.store, [root], {it.old: it.new}, allow_abi_breaks=True, fixups=list(fixups))
    return [each.message for each in outcome.warnings if each.kind == "foreign-checksum"]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def _gz(data: bytes) -> bytes:
    return gzip.compress(data, 9, mtime=0)


# ---- sums in other files -------------------------------------------------------------------------

# Each makes the sum, or a file that holds it, of `home = OLD/share`.
HELD: dict[str, Callable[[bytes], bytes]] = {
    "md5sum": lambda data: f"{hashlib.md5(data).hexdigest()}  conf\n".encode(),
    "sha256sum": lambda data: f"{_sha256(data)}  conf\n".encode(),
    "b2sum": lambda data: f"{hashlib.blake2b(data).hexdigest()}  conf\n".encode(),
    "a BLAKE2b of 256 bits": lambda data: (
        hashlib.blake2b(data, digest_size=32).hexdigest().encode()
    ),
    "sha224 in capitals": lambda data: hashlib.sha224(data).hexdigest().upper().encode(),
    "sri": lambda data: f'integrity="sha384-{_base64(hashlib.sha384(data).digest())}"'.encode(),
    "sri with escapes": lambda data: (
        json.dumps({"integrity": f"sha512-{_base64(hashlib.sha512(data).digest())}"})
        .replace("/", "\\/")
        .encode()
    ),
    "base64 of URLs": lambda data: (
        b"sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    ),
    "nix32": lambda data: f"sha256:{nix32_encode(hashlib.sha256(data).digest())}\n".encode(),
    "raw sha1": lambda data: b"\0\1" + hashlib.sha1(data, usedforsecurity=False).digest() + b"\2",
    "raw sha256": lambda data: b"\xca\xfe\xba\xbe" + hashlib.sha256(data).digest() + b"\0",
    "a list in a zip archive": lambda data: zipped([("sums", _sha256(data).encode() * 3)]),
    "BLAKE2s in a list in tar.xz": lambda data: lzma.compress(
        tar([("a/sums", hashlib.blake2s(data).hexdigest().encode())])
    ),
    "a folded manifest": lambda data: (
        b"Manifest-Version: 1.0\r\n\r\nName: conf\r\nSHA-512-Digest: "
        + _folded(_base64(hashlib.sha512(data).digest()))
        + b"\r\n"
    ),
}


def _folded(text: str) -> bytes:
    return f"{text[:54]}\r\n {text[54:]}".encode()


@pytest.mark.parametrize("name", HELD)
def test_a_sum_of_a_changed_file_is_told(it: Graftable, name: str) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    [message] = told(it, {"conf": conf, "etc": {"held": HELD[name](conf)}})
    assert "/etc/held" in message
    assert "tool-1/conf' had before the graft" in message


def test_a_sum_in_another_path_is_told(it: Graftable) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    manifest = add_object(it.store, "manifest-1", {"list": _sha256(conf).encode()})
    [message] = told(it, {"conf": conf}, manifest)
    assert f"{manifest}/list' holds the sha256" in message


def test_sums_of_other_files_are_not_told(it: Graftable) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    other = b"unchanged\n"
    sums = f"{_sha256(other)} other\n{_sha256(b'')} empty\n".encode()
    assert told(it, {"conf": conf, "other": other, "sums": sums, "empty": b""}) == []


def test_sums_of_the_contents_of_a_compressed_file_are_told(it: Graftable) -> None:
    page = f"see {it.store.store_dir.path(it.old)}\n".encode() * 9
    files: Files = {"a.gz": _gz(page), "of-file": _sha256(_gz(page)).encode()}
    files["of-contents"] = hashlib.sha512(page).hexdigest().encode()
    messages = told(it, files)
    assert len(messages) == 2
    assert any("/of-file' holds the sha256" in each and "/a.gz' had" in each for each in messages)
    assert any("/a.gz/gzip' had" in each for each in messages)


def _deb(data: bytes) -> bytes:
    sums = f"{hashlib.md5(data).hexdigest()}  etc/conf\n".encode()
    control, files = tar([("./md5sums", sums)]), tar([("./etc/conf", data)])
    return ar(
        [
            ("debian-binary", b"2.0\n"),
            ("control.tar.gz", _gz(control)),
            ("data.tar.xz", lzma.compress(files)),
        ]
    )


def _conda(data: bytes) -> bytes:
    paths = {"paths": [{"_path": "lib/conf", "sha256": _sha256(data)}]}
    members = [("info/paths.json", json.dumps(paths).encode()), ("lib/conf", data)]
    return bz2.compress(tar(members))


def _arch(data: bytes) -> bytes:
    mtree = f"#mtree\n./conf size=9 sha256digest={_sha256(data)}\n".encode()
    return lzma.compress(tar([(".MTREE", _gz(mtree)), ("conf", data)]))


def _gem(data: bytes) -> bytes:
    inner = _gz(tar([("lib/a.rb", data)]))
    sums = f"---\nSHA256:\n  data.tar.gz: {_sha256(inner)}\n".encode()
    return tar([("data.tar.gz", inner), ("checksums.yaml.gz", _gz(sums))])


def _jar(data: bytes) -> bytes:
    digest = _base64(hashlib.sha256(data).digest())
    manifest = f"Manifest-Version: 1.0\r\n\r\nName: p\r\nSHA-256-Digest: {digest}\r\n".encode()
    return zipped([("META-INF/MANIFEST.MF", manifest), ("p", data)])


@pytest.mark.parametrize("make", [_deb, _conda, _arch, _gem, _jar])
def test_sums_of_a_member_in_the_same_package_are_told(
    it: Graftable, make: Callable[[bytes], bytes]
) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    [message] = told(it, {"package": make(conf)})
    assert "tool-1/package/" in message
    assert " had before the graft" in message


def test_the_record_of_a_wheel_is_made_anew_and_not_told(it: Graftable) -> None:
    code = f"home = '{it.store.store_dir.path(it.old)}'\n".encode()
    digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
    record = f"a.py,sha256={digest},{len(code)}\na-1.dist-info/RECORD,,\n".encode()
    wheel = zipped([("a.py", code), ("a-1.dist-info/RECORD", record)])
    assert told(it, {"a-1-py3-none-any.whl": wheel}) == []


def test_nar_hashes_of_moved_paths_are_told(it: Graftable) -> None:
    of_old = path_info(it.store, it.old).nar_hash
    full = it.store.store_dir.path(it.old)
    registration = f"{full}\nsha256:{of_old.hex()}\n120\n\n0\n".encode()
    narinfo = f"StorePath: {full}\nNarHash: sha256:{nix32_encode(of_old)}\n".encode()
    messages = told(it, {"registration": registration, "a.narinfo": narinfo})
    assert len(messages) == 2
    assert all(f"'{it.old} (NAR)' had" in message for message in messages)


# ---- names ---------------------------------------------------------------------------------------


def _cached(data: bytes) -> Files:
    digits = hashlib.sha512(data).hexdigest()
    return {"content-v2": {"sha512": {digits[:2]: {digits[2:4]: {digits[4:]: data}}}}}


def _object(data: bytes) -> Files:
    digits = hashlib.sha256(b"a header\0" + data).hexdigest()
    return {"objects": {digits[:2]: {f"{digits[2:]}.file": data}}}


def _blob(data: bytes) -> Files:
    return {"blobs": {"sha256": {_sha256(data): data}}}


@pytest.mark.parametrize("make", [_cached, _object, _blob])
def test_a_changed_file_that_is_named_by_its_contents_is_told(
    it: Graftable, make: Callable[[bytes], Files]
) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    [message] = told(it, make(conf))
    assert "is named by the" in message


def test_a_file_that_is_named_by_the_digest_of_an_old_path_is_told(it: Graftable) -> None:
    full = it.store.store_dir.path(it.old)
    name = hashlib.md5(f"file://{full}/lib".encode()).hexdigest()
    files: Files = {"refs": full.encode(), "thumbnails": {f"{name}.png": b"picture"}}
    [message] = told(it, files)
    assert f"/thumbnails/{name}.png' is named by the md5 of 'file://{full}/lib'" in message


def test_names_of_other_digits_are_not_told(it: Graftable) -> None:
    full = it.store.store_dir.path(it.old).encode()
    name = hashlib.md5(b"a page").hexdigest()
    build_id = hashlib.sha1(b"code", usedforsecurity=False).hexdigest()
    files: Files = {
        f"dir_{name}.html": full,
        "chunk.1a2b3c4d.js": full,
        ".build-id": {build_id[:2]: {f"{build_id[2:]}.debug": full}},
    }
    assert told(it, files) == []


# ---- files beside --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        *(
            "conf.chk",
            "conf.hmac",
            ".conf.hmac",
            "conf.crc32",
            "conf.sha256",
            "fipscheck/conf.hmac",
        ),
        "CKSUMS",
    ],
)
def test_a_file_that_goes_with_a_changed_one_is_told(it: Graftable, name: str) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    text = hmac.new(b"key", conf, "sha256").hexdigest().encode()
    if name == "CKSUMS":
        text = f"{zlib.crc32(conf)} {len(conf)} conf\n".encode()
    directory, _, base = name.rpartition("/")
    files: Files = {"conf": conf, **({directory: {base: text}} if directory else {base: text})}
    [message] = told(it, files)
    assert f"/{name}' goes with 'conf'" in message


def test_a_file_that_goes_with_an_unchanged_one_is_not_told(it: Graftable) -> None:
    full = it.store.store_dir.path(it.old).encode()
    assert told(it, {"conf": full, "other": b"x", "other.hmac": b"0" * 64}) == []


# ---- mended --------------------------------------------------------------------------------------


def test_a_sum_that_is_made_anew_is_not_told(it: Graftable) -> None:
    conf = f"home = {it.store.store_dir.path(it.old)}/share\n".encode()
    files: Files = {"conf": conf, "sums": _sha256(conf).encode()}
    assert told(it, files, fixups=("checksums",)) == []


def test_stores_and_caches_are_told_alike(it: Graftable, tmp_path: Path) -> None:
    full = it.store.store_dir.path(it.old)
    conf = f"home = {full}/share\n".encode()
    picture = hashlib.md5(f"file://{full}/lib".encode()).hexdigest()
    files: Files = {
        "conf": conf,
        "sums": _sha256(conf).encode(),
        "p.deb": _deb(conf),
        "CKSUMS": f"{zlib.crc32(conf)} {len(conf)} conf\n".encode(),
        ".conf.hmac": b"0" * 64,
        f"{picture}.png": b"picture",
    }
    root = add_object(it.store, "tool-1", files, [it.old])
    source = cache_of(it.store, tmp_path / "all")
    made = new_cache(tmp_path / "a")
    resumed = new_cache(tmp_path / "b")
    messages = []
    stores: list[tuple[Source, Target | None]] = [
        *((it.store, None), (it.store, made)),
        *((source, resumed), (source, resumed)),
    ]
    for of, to in stores:
        outcome = apply(of, [root], {it.old: it.new}, to=to, allow_abi_breaks=True)
        warnings = [each for each in outcome.warnings if each.kind == "foreign-checksum"]
        messages.append(sorted(each.message for each in warnings))
    assert len(messages[0]) == 5
    assert all(each == messages[0] for each in messages)


def test_a_resumed_graft_tells_the_same(it: Graftable) -> None:
    page = f"see {it.store.store_dir.path(it.old)}\n".encode() * 9
    files: Files = {"a.gz": _gz(page), "sum": _sha256(page).encode()}
    root = add_object(it.store, "tool-1", files, [it.old])
    first, second = (
        [
            each.message
            for each in apply(it.store, [root], {it.old: it.new}, allow_abi_breaks=True).warnings
            if each.kind == "foreign-checksum"
        ]
        for _ in range(2)
    )
    assert len(first) == 1
    assert first == second
