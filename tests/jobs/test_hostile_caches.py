"""Caches that lie, break off or change: one clear error each, and nothing partial in the target."""

from __future__ import annotations

import hashlib
import os
import random
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest

from graft.errors import (
    BadFormatError,
    CacheError,
    CorruptCacheError,
    GraftError,
    InvalidPathError,
    NoSpaceError,
    StoreError,
    UntrustedPathError,
)
from graft.formats import nar
from graft.formats.hashing import nix32_encode
from graft.formats.narinfo import NarInfo
from graft.formats.signature import SecretKey
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.api import Target
from graft.store.binary_cache import BinaryCache
from graft.store.caches.address import CacheAddress
from graft.store.caches.server import CacheServer
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.trust import signed_narinfo
from graft.store.writable_cache import WritableCache
from tests.archives import File, Folder, archive_of
from tests.caches import STORE, new_cache, spoil, written
from tests.serving import Answer, serving
from tests.store_objects import named_path, opened

KEY = SecretKey.generate("cache-1")
OLD, NEW, APP, ENV = (named_path(name, STORE) for name in ("lib-1.0", "lib-1.1", "app-1", "env-1"))
APP_FILES = Folder({b"aa": File(STORE.path(OLD).encode()), b"bb": File(b"\n" * 100_000)})


class Hostile:
    """A signed cache in a directory: env -> app -> OLD, and NEW; before it does what it does."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        with new_cache(directory) as cache:
            self._add(cache, written(cache, "lib-1.0", File(b"old\n")))
            self._add(cache, written(cache, "lib-1.1", File(b"new\n")))
            self.app = self._add(cache, written(cache, "app-1", APP_FILES, [OLD]))
            env = File(STORE.path(APP).encode())
            self._add(cache, written(cache, "env-1", env, [APP]))

    def _add(self, cache: WritableCache, info: NarInfo) -> NarInfo:
        signed = signed_narinfo(info, [KEY], STORE)
        cache.register([signed])
        return signed

    @property
    def narinfo(self) -> Path:
        """What is said of app."""
        return self.directory / f"{APP.hash_part}.narinfo"

    @property
    def nar(self) -> Path:
        """The file of app's NAR."""
        return self.directory / self.app.url

    def say(self, old: str, new: str) -> None:
        """Changes a text in the narinfo of app."""
        text = self.narinfo.read_text()
        assert old in text
        self.narinfo.write_text(text.replace(old, new))

    def tell(self, **said: object) -> None:
        """Changes fields of the narinfo of app."""
        spoil(self.directory, APP, **said)

    def pack(self, archive: bytes) -> None:
        """Has other bytes for the NAR of app, and says so."""
        with WritableCache.open(f"file://{self.directory}") as cache, cache.writing() as writer:
            writer.write(archive)
            file = writer.finish()
        self.tell(**{field.name: getattr(file, field.name) for field in fields(file)})


@pytest.fixture
def hostile(tmp_path: Path) -> Hostile:
    return Hostile(tmp_path / "source")


def _cache(directory: Path) -> WritableCache:
    return new_cache(directory)


def _store(directory: Path) -> LocalStore:
    location = Location.at_root(str(directory))
    LocalStore.create(location)
    return opened(location)


TARGETS: dict[str, Callable[[Path], Target]] = {"a cache": _cache, "a store": _store}


def _check_whole(directory: Path) -> set[StorePath]:
    """Makes sure that a target has no part of anything, and gives what it has."""
    if (directory / "nix-cache-info").exists():
        with BinaryCache.open(f"file://{directory}") as cache:
            for path in cache.valid_paths():
                with cache.nar(path) as reader:
                    while reader.readinto(memoryview(bytearray(1 << 20))):
                        pass
            for file in (directory / "nar").iterdir():
                digest = nix32_encode(hashlib.sha256(file.read_bytes()).digest())
                assert file.name.startswith(digest)
            assert not list(directory.glob(".graft-*"))
            return cache.valid_paths()
    with LocalStore(location=Location.at_root(str(directory))) as store:
        valid = store.valid_paths()
    lying = {name for name in os.listdir(directory / "nix/store") if not name.startswith(".")}
    assert {name for name in lying if not name.endswith(".lock")} == valid
    return valid


def _refused(
    hostile: Hostile,
    target: Target,
    directory: Path,
    source: BinaryCache | None = None,
    **how: object,
) -> GraftError:
    """The error that a graft out of the cache ends with; app did not get into the target."""
    with (
        source or BinaryCache.open(f"file://{hostile.directory}") as opened,
        target,
        pytest.raises(GraftError) as raised,
    ):
        apply(opened, [ENV], {OLD: NEW}, to=target, **how)  # type: ignore[arg-type]
    error = raised.value
    assert error.message.isprintable()
    assert len(error.message) < 1000
    assert {path[33:] for path in _check_whole(directory)} <= {"lib-1.1"}
    return error


def _bomb(hostile: Hostile) -> None:
    with new_cache(hostile.directory) as cache:
        bomb = written(cache, "bomb-1", File(bytes(1 << 24)))
    hostile.nar.write_bytes((hostile.directory / bomb.url).read_bytes())
    hostile.tell(file_hash=None, file_size=None)


def _renamed(old: bytes, new: bytes) -> Callable[[Hostile], None]:
    def rename(hostile: Hostile) -> None:
        before, after = nar.encode_string(old), nar.encode_string(new)
        hostile.pack(archive_of(APP_FILES).replace(before, after))

    return rename


TRICKS: dict[str, tuple[Callable[[Hostile], object], type[GraftError], str]] = {
    "a nar that is shorter": (lambda it: it.tell(nar_size=2**62), CorruptCacheError, "ends after"),
    "a nar that is longer": (lambda it: it.tell(nar_size=5000), CorruptCacheError, "more bytes"),
    "another nar": (lambda it: it.tell(nar_hash=bytes(32)), CorruptCacheError, "has the hash"),
    "a shorter file": (lambda it: it.tell(file_size=2**62), CorruptCacheError, "ends after"),
    "a longer file": (lambda it: it.tell(file_size=9), CorruptCacheError, "more than 9 bytes"),
    "another file": (lambda it: it.tell(file_hash=bytes(32)), CorruptCacheError, "has the hash"),
    "a nar without end": (_bomb, CorruptCacheError, "expands to more bytes than it may"),
    "another compression": (lambda it: it.tell(compression="xz"), CorruptCacheError, "xz stream"),
    "an unknown compression": (lambda it: it.tell(compression="br"), BadFormatError, "'br'"),
    "a nar outside": (lambda it: it.say("URL: nar/", "URL: ../"), BadFormatError, "'URL' is wrong"),
    "an absolute nar": (lambda it: it.say("URL: nar", "URL: /nar"), BadFormatError, "'URL' is"),
    "a path outside": (
        lambda it: it.say(f"StorePath: {STORE}/", f"StorePath: {STORE}/../"),
        BadFormatError,
        "'StorePath' is wrong",
    ),
    "another path": (lambda it: it.say(APP, ENV), CorruptCacheError, f"describes '{ENV}'"),
    "a repeated path": (
        lambda it: it.say("URL:", f"StorePath: {STORE.path(APP)}\nURL:"),
        BadFormatError,
        "a second 'StorePath'",
    ),
    "a repeated reference": (
        lambda it: it.say(f"References: {OLD}", f"References: {OLD} {OLD}"),
        BadFormatError,
        "is there twice",
    ),
    "an absolute reference": (
        lambda it: it.say(f"References: {OLD}", f"References: {STORE.path(OLD)}"),
        BadFormatError,
        "'References' is wrong",
    ),
    "a reference outside": (
        lambda it: it.say(f"References: {OLD}", f"References: {OLD} {named_path('x', STORE)}"),
        StoreError,
        named_path("x", STORE),
    ),
    "control characters in a path": (
        lambda it: it.say("app-1", "app\x1b[2J"),
        BadFormatError,
        "printable",
    ),
    "a missing nar": (lambda it: it.nar.unlink(), CacheError, "No such file"),
    "a missing narinfo": (lambda it: it.narinfo.unlink(), InvalidPathError, APP),
    "an entry above": (_renamed(b"aa", b".."), CorruptCacheError, "no name of a file"),
    "an absolute entry": (_renamed(b"aa", b"/a"), CorruptCacheError, "no name of a file"),
    "a repeated entry": (_renamed(b"bb", b"aa"), CorruptCacheError, "does not come after"),
    "control characters in an entry": (
        _renamed(b"bb", b"\x1b["),
        CorruptCacheError,
        r"does not come after",
    ),
    "no nar at all": (lambda it: it.pack(b"<!doctype>\n" * 10), CorruptCacheError, "nar, byte"),
}


@pytest.mark.parametrize("into", TARGETS)
@pytest.mark.parametrize("trick", TRICKS)
def test_a_trick_is_one_error_and_leaves_nothing(
    trick: str, into: str, hostile: Hostile, tmp_path: Path
) -> None:
    play, kind, match = TRICKS[trick]
    play(hostile)
    error = _refused(hostile, TARGETS[into](tmp_path / "target"), tmp_path / "target")
    assert isinstance(error, kind)
    assert re.search(match, error.message)


@pytest.mark.parametrize("into", TARGETS)
def test_control_characters_in_names_of_entries_are_nothing_special(
    into: str, hostile: Hostile, tmp_path: Path
) -> None:
    _renamed(b"aa", b"\x1b[")(hostile)
    directory = tmp_path / "target"
    with (
        BinaryCache.open(f"file://{hostile.directory}") as source,
        TARGETS[into](directory) as target,
    ):
        assert apply(source, [ENV], {OLD: NEW}, to=target).succeeded
    assert len(_check_whole(directory)) == 3


@pytest.mark.parametrize("into", TARGETS)
@pytest.mark.parametrize(
    ("keys", "match"),
    [
        ([SecretKey.generate("other-1")], "signed by 'cache-1' only, which is not trusted"),
        ([SecretKey.generate("cache-1")], "that the trusted key 'cache-1' has not made"),
        ([], "signed by 'cache-1' only"),
    ],
)
def test_what_another_key_has_signed_is_refused(
    keys: list[SecretKey], match: str, into: str, hostile: Hostile, tmp_path: Path
) -> None:
    target = TARGETS[into](tmp_path / "target")
    trusted = [key.public_key for key in keys]
    error = _refused(hostile, target, tmp_path / "target", trusted_public_keys=trusted)
    assert isinstance(error, UntrustedPathError)
    assert re.search(match, error.message)


@pytest.mark.parametrize("into", TARGETS)
@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"signatures": frozenset()}, "is not signed"),
        ({"nar_hash": bytes(32)}, "has not made"),
        ({"references": frozenset({OLD, NEW})}, "has not made"),
    ],
)
def test_what_nobody_has_signed_is_refused(
    change: dict[str, object], match: str, into: str, hostile: Hostile, tmp_path: Path
) -> None:
    hostile.tell(**change)
    target = TARGETS[into](tmp_path / "target")
    keys = [KEY.public_key]
    error = _refused(hostile, target, tmp_path / "target", trusted_public_keys=keys)
    assert isinstance(error, UntrustedPathError)
    assert re.search(match, error.message)


@pytest.mark.parametrize("into", TARGETS)
@pytest.mark.parametrize("change", ["other", "shorter", "removed", "packed anew"])
def test_a_cache_that_changes_after_it_was_asked_is_refused(
    change: str, into: str, hostile: Hostile, tmp_path: Path
) -> None:
    def spoil_it(_plan: object) -> None:
        data = hostile.nar.read_bytes()
        if change == "removed":
            hostile.nar.unlink()
        elif change == "packed anew":
            hostile.pack(archive_of(File(b"other\n")))
            (hostile.directory / hostile.app.url).unlink()
        else:
            hostile.nar.write_bytes(data[:-1] + bytes([data[-1] ^ 1] if change == "other" else []))

    target = TARGETS[into](tmp_path / "target")
    error = _refused(hostile, target, tmp_path / "target", approve=spoil_it)
    assert isinstance(error, CacheError)
    assert hostile.app.url in error.message


def _over_http(url: str) -> BinaryCache:
    """The cache behind a server, by a client that does not wait long."""
    files = CacheServer(url, attempts=2, wait=0.001, timeout=5)
    with BinaryCache.open(url) as opened:
        return BinaryCache(CacheAddress.parse(url), files, opened.info)


@pytest.mark.parametrize("into", TARGETS)
@pytest.mark.parametrize("what", ["cut", "changed while it is read", "gone"])
def test_a_server_that_breaks_off_is_one_error(
    what: str, into: str, hostile: Hostile, tmp_path: Path
) -> None:
    def answer(name: str, answer: Answer) -> None:
        if name == hostile.app.url:
            if what == "gone":
                answer.status = 500
            elif what == "cut" or answer.status == 200:
                answer.cut = 20
                if what != "cut":
                    os.utime(hostile.nar, ns=(1, 1))

    with serving(hostile.directory) as server:
        server.spoil = answer
        target = TARGETS[into](tmp_path / "target")
        error = _refused(hostile, target, tmp_path / "target", _over_http(server.url))
    assert isinstance(error, CacheError)
    assert hostile.app.url in error.message


@contextmanager
def _small_disk(directory: Path, size: int) -> Iterator[None]:
    directory.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("nothing may be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)


@pytest.mark.parametrize("into", TARGETS)
def test_a_full_disk_is_one_error(into: str, hostile: Hostile, tmp_path: Path) -> None:
    large = Folder({**APP_FILES.entries, b"cc": File(random.Random(1).randbytes(4 << 20))})
    hostile.pack(archive_of(large))
    directory = tmp_path / "target"
    with _small_disk(directory, 2 << 20):
        error = _refused(hostile, TARGETS[into](directory), directory)
        assert isinstance(error, NoSpaceError)


def test_nothing_is_left_of_a_nar_there_was_no_room_for(hostile: Hostile, tmp_path: Path) -> None:
    hostile.pack(archive_of(File(random.Random(1).randbytes(4 << 20))))
    directory = tmp_path / "target"
    source = BinaryCache.open(f"file://{hostile.directory}")
    with _small_disk(directory, 2 << 20), new_cache(directory) as cache:
        with pytest.raises(NoSpaceError, match="No space left"):
            cache.copy_nar(source, APP)
        with pytest.raises(NoSpaceError, match="No space left"), cache.writing() as writer:
            writer.write(random.Random(1).randbytes(4 << 20))
            writer.finish()
        assert not list(directory.glob("nar/*"))
        assert not list(directory.glob(".graft-*/*"))
        assert (cache.free_bytes() or 0) > 1 << 20


def test_a_disk_with_no_room_for_narinfos_gets_none(tmp_path: Path) -> None:
    directory = tmp_path / "target"
    with _small_disk(directory, 256 << 10), new_cache(directory) as cache:
        infos = [written(cache, f"many-{number}", File(b"%d" % number)) for number in range(4)]
        with (
            pytest.raises(NoSpaceError, match="file://"),
            (directory / "filler").open("wb") as file,
        ):
            try:
                file.write(bytes(1 << 20))
                file.flush()
            except OSError:
                pass
            cache.register(infos)
        assert not cache.valid_paths()
        assert not list(directory.glob("*.narinfo"))
        (directory / "filler").unlink()
        cache.register(infos)
        assert len(cache.valid_paths()) == 4
