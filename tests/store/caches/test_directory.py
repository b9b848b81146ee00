"""The files of caches in directories: their sizes, rights and temporary places."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graft.errors import CacheError, StorePermissionError
from graft.store.caches.directory import CacheDirectory
from tests.ordinary_user import as_ordinary_user


def test_a_file_has_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    files = CacheDirectory(str(tmp_path))
    before = os.umask(0o027)
    try:
        new = files.create()
    finally:
        os.umask(before)
    new.write(b"text")
    new.publish("file")
    files.close()
    assert (tmp_path / "file").stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "file").read_bytes() == b"text"


def test_a_text_may_be_as_long_as_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = CacheDirectory(str(tmp_path))
    (tmp_path / "text").write_text("12345")
    monkeypatch.setattr("graft.store.caches.directory.LARGEST_TEXT", 5)
    assert files.read("text") == b"12345"
    monkeypatch.setattr("graft.store.caches.directory.LARGEST_TEXT", 4)
    with pytest.raises(CacheError, match=r"file 'text' of the cache .* is longer than any such"):
        files.read("text")


def test_files_that_are_not_there_have_neither_text_nor_size(tmp_path: Path) -> None:
    files = CacheDirectory(str(tmp_path))
    (tmp_path / "file").write_text("123")
    (tmp_path / "directory").mkdir()
    for name in ("none", "file/below"):
        assert files.read(name) is None
        assert files.size(name) is None
    assert (files.size("file"), files.size("directory")) == (3, None)
    with pytest.raises(CacheError, match=r"'directory' .* cannot be used: it is no regular file"):
        files.read("directory")
    with pytest.raises(CacheError, match=r"file 'none' .* cannot be used: No such file"):
        files.open("none")


def test_names_are_those_in_the_directory_itself(tmp_path: Path) -> None:
    (tmp_path / "nar").mkdir()
    (tmp_path / "nar/file").touch()
    assert CacheDirectory(str(tmp_path)).names() == ["nar"]
    assert CacheDirectory(str(tmp_path / "none")).names() == []
    with pytest.raises(CacheError, match="Not a directory"):
        CacheDirectory(str(tmp_path / "nar/file")).names()


def test_a_disk_is_asked_for_one_file_at_once(tmp_path: Path) -> None:
    files = CacheDirectory(str(tmp_path))
    assert (files.connections, files.url) == (1, f"file://{tmp_path}")


def test_the_room_is_that_of_the_nearest_directory(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    free = status.f_bfree if os.geteuid() == 0 else status.f_bavail
    found = CacheDirectory(str(tmp_path / "a/b")).free_bytes()
    assert abs(found - status.f_frsize * free) < 1 << 28  # others write there as well


@as_ordinary_user
def test_a_directory_of_somebody_else_is_not_written(tmp_path: Path) -> None:
    CacheDirectory(str(tmp_path / "a/b")).check_writable()
    tmp_path.chmod(0o555)
    files = CacheDirectory(str(tmp_path / "a/b"))
    with pytest.raises(StorePermissionError, match=f"'{tmp_path}' is not theirs"):
        files.check_writable()
    with pytest.raises(StorePermissionError, match="Permission denied"):
        files.create()
    tmp_path.chmod(0o755)


def test_a_file_that_gets_no_name_leaves_nothing(tmp_path: Path) -> None:
    files = CacheDirectory(str(tmp_path))
    kept, dropped = files.create(), files.create()
    for new in (kept, dropped):
        new.write(b"text")
    (staging,) = tmp_path.glob(".graft-*")
    assert len(os.listdir(staging)) == 2
    dropped.discard()
    dropped.discard()
    kept.publish("file")
    assert os.listdir(staging) == []
    with pytest.raises(CacheError, match=r"file 'file' .* cannot be used"):
        kept.publish("file")
    files.close()
    assert sorted(os.listdir(tmp_path)) == ["file", "nar"]
    files.close()
    again = files.create()  # a closed one may be written again
    again.publish("again")
    files.close()
    assert sorted(os.listdir(tmp_path)) == ["again", "file", "nar"]


def test_what_was_left_over_goes_with_the_first_file_and_with_the_last(tmp_path: Path) -> None:
    def leave() -> None:
        (tmp_path / ".graft-left").mkdir()
        (tmp_path / ".graft-left/0").touch()

    leave()
    (tmp_path / ".graft-file").touch()  # no directory: somebody else's
    (tmp_path / "other").mkdir()
    files = CacheDirectory(str(tmp_path))
    files.close()
    assert (tmp_path / ".graft-left").exists()
    with pytest.raises(CacheError):
        files.create()
    (tmp_path / ".graft-file").unlink()
    files.create().discard()
    assert not (tmp_path / ".graft-left").exists()
    leave()
    files.close()
    assert sorted(os.listdir(tmp_path)) == ["nar", "other"]
