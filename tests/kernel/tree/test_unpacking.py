"""NARs made into trees: what they say and nothing else."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.errors import BadFormatError, NoSpaceError, StorePermissionError, TreeError
from graft.formats import nar
from graft.formats.window import SIZE
from graft.kernel.tree import read_tree, remove_tree
from graft.kernel.tree.descent import OPEN_LEVELS
from graft.kernel.tree.unpacking import unpack_archive
from tests.archives import File, Folder, Link, Node, archive_of, nodes
from tests.bind_mount import needs_mounts
from tests.ordinary_user import as_ordinary_user

ROOT = os.geteuid() == 0
_FILE = nar.regular_head(1, executable=False) + b"x" + nar.regular_tail(1)


def _unpack(archive: bytes, target: Path, *, most: int = SIZE) -> None:
    stream = io.BytesIO(archive)
    unpack_archive(lambda view: stream.readinto(view[:most]), target)
    assert not stream.read(1)


def _dump(tree: Path) -> bytes:
    dump = bytearray()
    read_tree(tree, sink=dump.extend)
    return bytes(dump)


def _directory(*entries: tuple[bytes, bytes]) -> bytes:
    """The NAR of a directory whose entries are in any order and of any names."""
    inner = b"".join(nar.entry_head(name) + object_ + nar.ENTRY_TAIL for name, object_ in entries)
    return nar.MAGIC + nar.DIRECTORY_HEAD + inner + nar.DIRECTORY_TAIL


def _metadata(tree: Path) -> dict[str, tuple[int, int, int, int, int]]:
    paths = [tree, *(tree.rglob("*") if not tree.is_symlink() else ())]
    return {
        str(path.relative_to(tree)): (
            status.st_mode,
            status.st_mtime_ns,
            status.st_uid,
            status.st_gid,
            status.st_nlink,
        )
        for path in paths
        for status in (path.lstat(),)
    }


@given(node=nodes(), most=st.integers(1, 5000))
def test_the_tree_made_of_a_nar_has_that_nar(
    node: Node, most: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    target = tmp_path_factory.mktemp("unpacked") / "target"
    archive = archive_of(node)
    done: list[int] = []
    stream = io.BytesIO(archive)
    unpack_archive(lambda view: stream.readinto(view[:most]), target, on_bytes=done.append)
    assert _dump(target) == archive
    assert sum(done) == len(archive)


_ALL_KINDS = Folder(
    {
        b"big": File(bytes(range(256)) * 3000),
        b"bin": Folder({b"run": File(b"#!/bin/sh\n", executable=True)}),
        b"dangling": Link(b"../../nowhere"),
        b"empty": Folder(),
        b"no contents": File(b""),
        b"\xff\xfe": File(b"x"),
    }
)


@pytest.mark.nix
@pytest.mark.parametrize("node", [_ALL_KINDS, File(b"x", executable=True), Link(b"/a"), Folder()])
def test_a_tree_is_made_as_nix_makes_it(node: Node, tmp_path: Path) -> None:
    archive = archive_of(node)
    subprocess.run(["nix-store", "--restore", tmp_path / "nix"], input=archive, check=True)
    _unpack(archive, tmp_path / "graft")
    shown = subprocess.run(
        ["nix-store", "--dump", tmp_path / "graft"], capture_output=True, check=True
    )
    assert shown.stdout == archive
    restored = [path.relative_to(tmp_path / "nix") for path in (tmp_path / "nix").rglob("*")]
    assert sorted(_metadata(tmp_path / "graft")) == sorted([".", *map(str, restored)])


def test_what_is_made_has_the_metadata_of_a_store(tmp_path: Path) -> None:
    _unpack(archive_of(_ALL_KINDS), tmp_path / "target")
    owner = os.geteuid(), os.getegid()
    for path, (mode, mtime, *owned, links) in _metadata(tmp_path / "target").items():
        executable = path in {"bin/run", "bin", "empty", "."}
        if path != "dangling":
            assert oct(mode & 0o7777) == oct(0o555 if executable else 0o444), path
            assert links == 1 or executable
        assert mtime == 1_000_000_000, path
        assert tuple(owned) == owner, path


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_what_is_made_belongs_to_the_owner_asked_for(tmp_path: Path) -> None:
    stream = io.BytesIO(archive_of(_ALL_KINDS))
    unpack_archive(stream.readinto, tmp_path / "target", owner=(1234, 4321))
    for path, (_, _, user, group, _) in _metadata(tmp_path / "target").items():
        assert (user, group) == (1234, 4321), path


@pytest.mark.parametrize("node", [Folder({b"a": Folder({b"b": File(b"x")})}), File(b"x")])
def test_no_acl_is_inherited(node: Node, tmp_path: Path) -> None:
    # acl(5) as linux/posix_acl_xattr.h has it: version 2, then (tag, permissions, id) of each
    # entry; the second is for the user 1234.
    entries = [(1, 7, 0xFFFFFFFF), (2, 7, 1234), (4, 5, 0xFFFFFFFF), (16, 7, 0xFFFFFFFF)]
    acl = (2).to_bytes(4, "little") + b"".join(
        tag.to_bytes(2, "little") + permissions.to_bytes(2, "little") + id_.to_bytes(4, "little")
        for tag, permissions, id_ in [*entries, (32, 5, 0xFFFFFFFF)]
    )
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("the file system has no ACLs")
    (tmp_path / "plain").touch()
    assert os.listxattr(tmp_path / "plain") == ["system.posix_acl_access"]
    _unpack(archive_of(node), tmp_path / "target")
    for path in (tmp_path / "target", *(tmp_path / "target").rglob("*")):
        assert not [name for name in os.listxattr(path) if name.startswith("system.")], path


@pytest.mark.parametrize(
    "archive",
    [
        _directory((b"..", _FILE)),
        _directory((b".", _FILE)),
        _directory((b"", _FILE)),
        _directory((b"a/b", _FILE)),
        _directory((b"/a", _FILE)),
        _directory((b"a\0", _FILE)),
        _directory((b"b", _FILE), (b"a", _FILE)),
        _directory((b"a", nar.symlink_object(b"../outside")), (b"a", _FILE)),
        _directory((b"a", nar.symlink_object(b"")), (b"b", _FILE)),
        _directory((b"a", _FILE), (b"b", _FILE)) + b"\0",
        _directory((b"a", _FILE), (b"b", _FILE))[:-8],
        _directory((b"a", nar.regular_head(1 << 62, executable=False) + bytes(1 << 20))),
        _directory((b"x" * 256, _FILE)),
        b"",
    ],
)
def test_of_a_hostile_nar_nothing_is_made_anywhere(archive: bytes, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    with pytest.raises(BadFormatError):
        _unpack(archive, tmp_path / "target")
    assert [path.name for path in tmp_path.rglob("*")] == ["outside"]


@pytest.mark.parametrize("entry", ["b", "a/inner", "a/inner/deep"])
def test_no_symlink_is_followed_that_is_put_where_something_is_to_be_made(
    entry: str, tmp_path: Path
) -> None:
    outside, target = tmp_path / "outside", tmp_path / "target"
    outside.mkdir()
    inner = Folder({b"inner": Folder({b"deep": File(b"x")})})
    stream = io.BytesIO(archive_of(Folder({b"a": inner, b"b": File(bytes(1000))})))
    place = target / entry

    def readinto(view: memoryview) -> int:
        if place.parent.exists() and not place.is_symlink():
            place.symlink_to(outside / "made")
        return stream.readinto(view[:1])

    with pytest.raises(TreeError, match=f"/target/{entry} exists already"):
        unpack_archive(readinto, target)
    assert not list(outside.iterdir())
    assert not target.exists()


@pytest.mark.parametrize("node", [File(b"x"), Link(b"x"), Folder({b"a": File(b"x")})])
def test_what_is_there_already_is_left_alone(node: Node, tmp_path: Path) -> None:
    (tmp_path / "inner").write_bytes(b"mine")
    (tmp_path / "link").symlink_to("inner")
    for name in ("inner", "link"):
        with pytest.raises(TreeError, match=f"{name} exists already"):
            _unpack(archive_of(node), tmp_path / name)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "inner").read_bytes() == b"mine"


class _StopError(BaseException):
    """What no handler of exceptions expects."""


@pytest.mark.parametrize("at", [1, 1000, 200_000, 600_000])
def test_after_an_exception_of_the_stream_nothing_is_left(at: int, tmp_path: Path) -> None:
    stream = io.BytesIO(archive_of(_ALL_KINDS))

    def readinto(view: memoryview) -> int:
        if stream.tell() >= at:
            raise _StopError
        return stream.readinto(view[: min(len(view), at)])

    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(_StopError):
        unpack_archive(readinto, tmp_path / "target")
    assert not list(tmp_path.iterdir())
    assert len(os.listdir("/proc/self/fd")) == before


def test_an_error_of_the_stream_is_not_taken_for_one_of_the_tree(tmp_path: Path) -> None:
    def readinto(view: memoryview) -> int:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        unpack_archive(readinto, tmp_path / "target")


def test_after_an_exception_of_the_caller_nothing_is_left(tmp_path: Path) -> None:
    def stop(_: int) -> None:
        raise _StopError

    with pytest.raises(_StopError):
        unpack_archive(
            io.BytesIO(archive_of(_ALL_KINDS)).readinto, tmp_path / "target", on_bytes=stop
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@needs_mounts
def test_a_full_file_system_is_reported_and_left_as_it_was(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "none", full], check=True)
    try:
        archive = archive_of(Folder({b"a": File(b"x"), b"b": File(bytes(900_000))}))
        with pytest.raises(NoSpaceError, match=r"no room to write .*/full/target/b "):
            _unpack(archive, full / "target")
        assert not list(full.iterdir())
    finally:
        subprocess.run(["umount", full], check=True)


@as_ordinary_user
def test_a_place_that_may_not_be_written_is_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StorePermissionError, match=r"may not write .*/target"):
            _unpack(archive_of(File(b"x")), tmp_path / "target")
    finally:
        tmp_path.chmod(0o755)


def _deep(levels: int, name: bytes) -> bytes:
    head = nar.DIRECTORY_HEAD + nar.entry_head(name)
    tail = nar.ENTRY_TAIL + nar.DIRECTORY_TAIL
    return nar.MAGIC + head * levels + nar.symlink_object(b"x") + tail * levels


@pytest.mark.parametrize(
    "levels",
    [OPEN_LEVELS, OPEN_LEVELS + 1, OPEN_LEVELS + 2, pytest.param(10_000, marks=pytest.mark.slow)],
)
def test_a_deep_tree_takes_few_descriptors_and_no_recursion(levels: int, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + OPEN_LEVELS + 10, hard))
    archive = _deep(levels, b"d")
    try:
        _unpack(archive, tmp_path / "target")
        digest = hashlib.sha256()
        read_tree(tmp_path / "target", sink=digest.update)
        assert digest.digest() == hashlib.sha256(archive).digest()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        remove_tree(tmp_path / "target")


def test_a_deep_tree_that_breaks_off_is_removed(tmp_path: Path) -> None:
    archive = _deep(1000, b"directory")
    with pytest.raises(BadFormatError, match=r"ends .* too early"):
        _unpack(archive[: len(archive) // 2], tmp_path / "target")
    assert not list(tmp_path.iterdir())


_MEASURE = """
import resource, sys
from graft.formats import nar
from graft.kernel.tree.unpacking import unpack_archive

many, deep = int(sys.argv[2]), int(sys.argv[3])
def pieces():
    yield nar.MAGIC + nar.DIRECTORY_HEAD
    for i in range(many):
        yield nar.entry_head(b"%06d" % i) + nar.regular_head(1, executable=False) + b"x"
        yield nar.regular_tail(1) + nar.ENTRY_TAIL
    yield nar.entry_head(b"big") + nar.regular_head(64 << 20, executable=False)
    for _ in range(64):
        yield bytes(1 << 20)
    yield nar.regular_tail(64 << 20) + nar.ENTRY_TAIL + nar.entry_head(b"deep")
    for _ in range(deep):
        yield nar.DIRECTORY_HEAD + nar.entry_head(b"d" * 255)
    yield nar.symlink_object(b"x")
    for _ in range(deep):
        yield nar.ENTRY_TAIL + nar.DIRECTORY_TAIL
    yield nar.ENTRY_TAIL + nar.DIRECTORY_TAIL

source = pieces()
rest = b""
def readinto(view):
    global rest
    rest = rest or next(source, b"")
    size = min(len(view), len(rest))
    view[:size] = rest[:size]
    rest = rest[size:]
    return size

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
unpack_archive(readinto, sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_memory_stays_flat_however_much_a_nar_holds(tmp_path: Path) -> None:
    target = tmp_path / "target"
    result = subprocess.run(
        [sys.executable, "-c", _MEASURE, target, "20000", "3000"],
        capture_output=True,
        text=True,
        check=True,
    )
    try:
        assert len(os.listdir(target)) == 20_002
        assert int(result.stdout) < 16 << 10  # KiB; the file alone has 64 MiB
    finally:
        remove_tree(target)
