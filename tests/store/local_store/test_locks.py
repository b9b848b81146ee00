"""Locks, against another holder of the same file."""

from __future__ import annotations

import fcntl
import os
import threading
from pathlib import Path

import pytest

from graft.errors import StoreError, StorePermissionError
from graft.store.local_store.locks import lock, path_locks, shared_lock
from tests.ordinary_user import as_ordinary_user
from tests.store.lock_probe import is_locked


def test_a_path_is_locked_as_nix_does_and_its_lock_file_goes(tmp_path: Path) -> None:
    lock = tmp_path / "hash-name.lock"
    with path_locks([str(tmp_path / "hash-name")], records=True):
        assert is_locked(lock)
    assert not lock.exists()


def test_a_lock_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with shared_lock(str(tmp_path / "gc.lock"), "a test", records=True):
            assert (tmp_path / "gc.lock").stat().st_mode & 0o7777 == 0o600
    finally:
        os.umask(before)


def test_a_lock_that_cannot_be_opened_is_an_error_that_says_why(tmp_path: Path) -> None:
    said = r"cannot open the lock '.*': Is a directory"
    with pytest.raises(StoreError, match=said), shared_lock(str(tmp_path), "a test", records=True):
        pass


def test_a_lock_file_does_not_stay_after_an_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        path_locks([str(tmp_path / "a"), str(tmp_path / "b")], records=True),
    ):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_a_stale_lock_file_is_opened_again(tmp_path: Path) -> None:
    lock = tmp_path / "a.lock"
    other = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(other, fcntl.LOCK_EX)
    taken = threading.Event()

    def take() -> None:
        with path_locks([str(tmp_path / "a")], records=True):
            assert is_locked(lock)
            taken.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not taken.wait(0.2)
    # The other holder ends as Nix does: unlink, write the marker, close.
    lock.unlink()
    os.write(other, b"d")
    os.close(other)
    waiting.join(10)
    assert taken.is_set()
    assert list(tmp_path.iterdir()) == []


def test_overlapping_sets_do_not_wait_for_each_other(tmp_path: Path) -> None:
    paths = [str(tmp_path / name) for name in "abcdefgh"]
    done = []

    def take(order: list[str]) -> None:
        for _ in range(50):
            with path_locks(order, records=True):
                pass
        done.append(order)

    threads = [threading.Thread(target=take, args=(order,)) for order in (paths, paths[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == 2


def test_a_shared_lock_is_shared_and_keeps_an_exclusive_one_out(tmp_path: Path) -> None:
    file = tmp_path / "gc.lock"
    with (
        shared_lock(str(file), "a test", records=True),
        shared_lock(str(file), "a test", records=True),
    ):
        assert is_locked(file)
    assert not is_locked(file)


def test_a_wait_is_announced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "gc.lock"
    other = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(other, fcntl.LOCK_EX)
    threading.Timer(0.1, os.close, [other]).start()
    with shared_lock(str(file), "a running garbage collector", records=True):
        pass
    assert caplog.messages == ["waiting for a running garbage collector"]


@as_ordinary_user
def test_a_lock_nobody_may_open_is_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with (
        pytest.raises(StorePermissionError),
        shared_lock(str(tmp_path / "gc.lock"), "a test", records=True),
    ):
        pass


def test_a_record_lock_of_another_holds_a_lock_up_and_is_held_up_by_one(tmp_path: Path) -> None:
    file = tmp_path / "gc.lock"
    with file.open("w+b") as ours, file.open("r+b") as theirs:
        fcntl.lockf(theirs, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            lock(ours.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB, records=True)
        assert not is_locked(file)  # nor is the half of it that could be taken
        lock(ours.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB, records=False)
        fcntl.lockf(theirs, fcntl.LOCK_UN)
        for operation in (fcntl.LOCK_SH, fcntl.LOCK_EX):
            lock(ours.fileno(), operation, records=True)
            with pytest.raises(BlockingIOError):
                fcntl.lockf(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)
        lock(ours.fileno(), fcntl.LOCK_SH, records=True)
        with file.open("rb") as reader:
            fcntl.lockf(reader, fcntl.LOCK_SH | fcntl.LOCK_NB)
        lock(ours.fileno(), fcntl.LOCK_UN, records=True)
        fcntl.lockf(theirs, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_file_that_was_unlinked_without_a_marker_is_opened_again(tmp_path: Path) -> None:
    file = tmp_path / "profile.lock"
    with file.open("wb") as other:
        fcntl.lockf(other, fcntl.LOCK_EX)
        taken = threading.Event()

        def take() -> None:
            with path_locks([str(tmp_path / "profile")], records=True):
                assert file.exists()
                taken.set()

        waiting = threading.Thread(target=take)
        waiting.start()
        assert not taken.wait(0.2)
        file.unlink()
    waiting.join(10)
    assert taken.is_set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_what_root_makes_in_the_state_of_another_user_is_that_users(tmp_path: Path) -> None:
    os.chown(tmp_path, 4711, 4712)
    with shared_lock(str(tmp_path / "gc.lock"), "a test", records=True):
        status = (tmp_path / "gc.lock").stat()
    assert (status.st_uid, status.st_gid) == (4711, 4712)


def test_a_lock_file_is_not_opened_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "gc.lock").symlink_to(tmp_path / "other")
    with (
        pytest.raises(StoreError, match="Too many levels of symbolic links"),
        shared_lock(str(tmp_path / "gc.lock"), "a test", records=True),
    ):
        pass
    assert not (tmp_path / "other").exists()
