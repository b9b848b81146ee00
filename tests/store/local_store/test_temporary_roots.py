"""Temporary roots against the real collector: before it begins, while it works, after it ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from graft.errors import StoreError
from graft.formats.store_path import StorePath
from graft.jobs.apply import apply
from graft.store.local import LocalStore
from graft.store.local_store.temporary_roots import find_temporary_roots, shared_temporary_roots
from tests.graftable import Graftable
from tests.real_nix import RealNix
from tests.store.lock_probe import is_locked
from tests.store_objects import add_object, new_store, opened


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return new_store(tmp_path)


def _is_there(store: LocalStore, path: StorePath) -> bool:
    on_disk = os.path.lexists(store.tree(path))
    assert (path in store.path_infos([path])) == on_disk
    return on_disk


@contextmanager
def _collector_at_work(store: LocalStore, directory: Path) -> Iterator[None]:
    """A real collector that has found its roots, and deletes nothing until the block is left."""
    nix = RealNix(store.location, directory)
    pipe = directory / "sync"
    os.mkfifo(pipe)
    # The place where Nix's own tests stop a collector; newer Nix has two of them.
    collector = subprocess.Popen(
        ["nix-store", "--gc"],
        env={**nix.environment, "_NIX_TEST_GC_SYNC": str(pipe), "_NIX_TEST_GC_SYNC_2": str(pipe)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        synchronised = _open_when_read(pipe, collector)
        try:
            yield
        finally:
            os.close(synchronised)
        assert collector.wait(60) == 0
    finally:
        collector.kill()
        collector.wait()


def _open_when_read(pipe: Path, collector: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        assert collector.poll() is None, "the collector ended before it deleted anything"
        time.sleep(0.01)


@pytest.mark.nix
def test_a_collector_that_comes_later_reads_the_roots(store: LocalStore, tmp_path: Path) -> None:
    kept = add_object(store, "kept-1", b"")
    above = add_object(store, "above-1", store.store_dir.path(kept), [kept])
    garbage = add_object(store, "garbage-1", b"")
    nix = RealNix(store.location, tmp_path)
    store.protect([above])
    nix.run("nix-store", "--gc")
    assert [_is_there(store, path) for path in (kept, above, garbage)] == [True, True, False]
    store.close()
    nix.run("nix-store", "--gc")
    with LocalStore(location=store.location) as again:
        assert not _is_there(again, above)
    assert os.listdir(Path(store.location.state_dir, "temproots")) == []


@pytest.mark.nix
def test_a_collector_at_work_is_told_of_the_roots(store: LocalStore, tmp_path: Path) -> None:
    kept = add_object(store, "kept-1", b"")
    above = add_object(store, "above-1", store.store_dir.path(kept), [kept])
    garbage = add_object(store, "garbage-1", b"")
    with _collector_at_work(store, tmp_path):
        store.protect([above])
    assert [_is_there(store, path) for path in (kept, above, garbage)] == [True, True, False]


@pytest.mark.nix
def test_a_graft_made_while_a_collector_works_is_there_when_it_has_ended(tmp_path: Path) -> None:
    it = Graftable.build(new_store(tmp_path))
    link = tmp_path / "patched"
    with _collector_at_work(it.store, tmp_path):
        outcome = apply(it.store, [it.env], {it.old: it.new}, add_roots=[str(link)])
        # The process ends before the collector does.
        it.store.close()
    with LocalStore(location=it.store.location) as store:
        assert all(_is_there(store, path) for path in outcome.plan.new_references)
    RealNix(it.store.location, tmp_path).check()


@pytest.mark.nix
def test_what_is_being_made_is_kept_under_its_temporary_name(
    store: LocalStore, tmp_path: Path
) -> None:
    path = StorePath(f"{'0' * 32}-made-1")
    store.protect([path])
    with store.making([path]) as making:
        Path(making.staging(path)).write_bytes(b"half")
        RealNix(store.location, tmp_path).run("nix-store", "--gc")
        assert Path(making.staging(path)).read_bytes() == b"half"
        assert os.path.lexists(f"{store.tree(path)}.lock")


@pytest.mark.nix
def test_the_roots_of_a_killed_process_are_given_up(store: LocalStore, tmp_path: Path) -> None:
    path = add_object(store, "one-1", b"")
    code = (
        "import os, signal, sys; from graft import LocalStore, StorePath;"
        "store = LocalStore(store=sys.argv[1], state=sys.argv[2]);"
        "store.protect([StorePath(sys.argv[3])]); os.kill(os.getpid(), signal.SIGKILL)"
    )
    arguments = [str(store.store_dir), store.location.state_dir, path]
    killed = subprocess.run([sys.executable, "-c", code, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(os.listdir(Path(store.location.state_dir, "temproots"))) == 1
    RealNix(store.location, tmp_path).run("nix-store", "--gc")
    assert not _is_there(store, path)


def test_two_stores_of_one_process_share_its_roots(store: LocalStore) -> None:
    path = add_object(store, "one-1", b"")
    file = Path(store.location.state_dir, "temproots", str(os.getpid()))
    store.protect([path])
    with LocalStore(location=store.location) as again:
        again.protect([path])
        assert file.read_bytes() == os.fsencode(store.store_dir.path(path)) + b"\0"
    assert is_locked(file)
    store.close()
    assert not file.exists()


def test_a_collector_that_cannot_be_told_is_waited_for(
    store: LocalStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of Nix before 2.5 and of Guix, which have no socket."""
    monkeypatch.setattr("graft.store.local_store.temporary_roots._SOCKET_PATIENCE_SECONDS", 0.2)
    collector = os.open(store.location.collector_lock, os.O_RDWR)
    fcntl.flock(collector, fcntl.LOCK_EX)
    begin = time.monotonic()
    threading.Timer(0.6, os.close, [collector]).start()
    store.protect([StorePath(f"{'0' * 32}-x")])
    assert time.monotonic() - begin > 0.5
    assert "waiting for a garbage collector" in caplog.text


def test_temporary_roots_of_other_processes_are_found_while_they_live(
    store: LocalStore, tmp_path: Path
) -> None:
    path = add_object(store, "used-1", b"x")
    store_dir, state = store.store_dir, store.location.state_dir
    told, tell = os.pipe()
    stopped, stop = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(stop)
        with shared_temporary_roots(state, records=True) as roots:
            roots.add([store_dir.path(path)])
            os.write(tell, b"1")
            os.read(stopped, 1)
        os._exit(0)
    assert os.read(told, 1) == b"1"
    assert find_temporary_roots(store_dir, state) == {child: {path}}
    os.close(stop)
    os.waitpid(child, 0)
    Path(state, "temproots", str(child)).write_bytes(os.fsencode(store_dir.path(path)) + b"\0")
    store.protect([path])
    assert find_temporary_roots(store_dir, state) == {}
    for descriptor in (told, tell, stopped):
        os.close(descriptor)


@contextmanager
def _collector_that_answers(store: LocalStore, *answers: bytes) -> Iterator[list[bytes]]:
    """A process that has the collector's lock, and its socket: what it was told.

    Each connection gets one of the answers to each line; behind the last one the lock is free.
    """
    state = Path(store.location.state_dir)
    (state / "gc-socket").mkdir()
    told: list[bytes] = []
    lock = os.open(store.location.collector_lock, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)

    def serve() -> None:
        for answer in answers:
            connection, _ = listening.accept()
            with connection, connection.makefile("rb") as lines:
                for line in lines:
                    told.append(line)
                    if not answer:
                        break
                    connection.sendall(answer)
        os.close(lock)

    with contextlib.chdir(state / "gc-socket"), socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        listening.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield told
        finally:
            store.close()
            thread.join()


def _roots(store: LocalStore) -> list[str]:
    file = Path(store.location.state_dir, "temproots", str(os.getpid()))
    return file.read_text().split("\0")[:-1]


def test_a_collector_with_a_socket_is_told_of_each_root_over_one_connection(
    store: LocalStore,
) -> None:
    paths = [StorePath(f"{'0' * 32}-{name}") for name in "ab"]
    full = [store.store_dir.path(path) for path in paths]
    with _collector_that_answers(store, b"1") as told:
        store.protect(paths)
        assert _roots(store) == full
    assert told == [f"{path}\n".encode() for path in full]


def test_a_collector_that_goes_without_an_answer_is_not_waited_for(store: LocalStore) -> None:
    with _collector_that_answers(store, b"") as told:
        store.protect([StorePath(f"{'0' * 32}-a")])
        assert len(_roots(store)) == len(told) == 1


def test_a_collector_that_ends_at_once_is_not_told_of(
    store: LocalStore, caplog: pytest.LogCaptureFixture
) -> None:
    collector = os.open(store.location.collector_lock, os.O_RDWR)
    fcntl.flock(collector, fcntl.LOCK_EX)
    threading.Timer(0.1, os.close, [collector]).start()
    store.protect([StorePath(f"{'0' * 32}-a")])
    assert len(_roots(store)) == 1
    assert caplog.messages == []


def test_a_root_that_a_collector_does_not_accept_is_an_error(store: LocalStore) -> None:
    path = StorePath(f"{'0' * 32}-a")
    with _collector_that_answers(store, b"0"), pytest.raises(StoreError, match="did not accept"):
        store.protect([path])


def test_the_file_of_a_dead_process_with_this_number_is_not_gone_on_with(store: LocalStore) -> None:
    directory = Path(store.location.state_dir, "temproots")
    (directory / str(os.getpid())).write_text("/nix/store/left\0")
    path = StorePath(f"{'0' * 32}-a")
    store.protect([path])
    assert _roots(store) == [store.store_dir.path(path)]


def test_roots_that_are_given_up_leave_no_file_and_no_descriptor(store: LocalStore) -> None:
    state = store.location.state_dir
    os.rmdir(f"{state}/temproots")
    before = sorted(os.listdir("/proc/self/fd"))
    with (
        shared_temporary_roots(state, records=True) as roots,
        shared_temporary_roots(state, records=True) as again,
    ):
        assert roots is again
        roots.add(["/nix/store/x"])
    assert os.listdir(f"{state}/temproots") == []
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_of_a_living_process_whole_roots_count_and_half_written_ones_do_not(
    store: LocalStore,
) -> None:
    paths = [StorePath(f"{'0' * 32}-{name}") for name in "ab"]
    texts = [store.store_dir.path(path) for path in paths]
    directory = Path(store.location.state_dir, "temproots")
    (directory / str(os.getppid())).write_text(f"{texts[0]}\0{texts[1]}\0{texts[0][:-1]}")
    (directory / "name").write_text(f"{texts[0]}\0")
    (directory / "1").write_text("no path\0")
    with (directory / str(os.getppid())).open("rb") as roots, (directory / "1").open("rb") as bad:
        for file in (roots, bad):
            fcntl.flock(file, fcntl.LOCK_SH)
        found = find_temporary_roots(store.store_dir, store.location.state_dir)
        assert found == {os.getppid(): set(paths)}
        fcntl.flock(roots, fcntl.LOCK_UN)
        assert find_temporary_roots(store.store_dir, store.location.state_dir) == {}
        roots.close()
    assert find_temporary_roots(store.store_dir, "/nowhere") == {}


def test_the_roots_of_a_living_process_of_the_same_number_stay(store: LocalStore) -> None:
    paths = [StorePath(f"{'0' * 32}-{name}") for name in "ab"]
    directory = Path(store.location.state_dir, "temproots")
    other = directory / str(os.getpid())  # as of another container
    other.write_text(f"{store.store_dir.path(paths[0])}\0")
    with other.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        store.protect([paths[1]])
        assert other.read_text() == f"{store.store_dir.path(paths[0])}\0"
        (own,) = set(directory.iterdir()) - {other}
        assert (1 << 22) < int(own.name) < (1 << 31)
        assert own.read_text() == f"{store.store_dir.path(paths[1])}\0"
        found = find_temporary_roots(store.store_dir, store.location.state_dir)
        assert found == {os.getpid(): {paths[0]}}
    store.close()
    assert list(directory.iterdir()) == [other]


_COLLECTOR_OF_GUIX = """
import fcntl, os, sys
lock, directory = open(sys.argv[1], "r+b"), sys.argv[2]
fcntl.lockf(lock, fcntl.LOCK_EX)
for name in os.listdir(directory):
    with open(os.path.join(directory, name), "r+b") as roots:
        try:
            fcntl.lockf(roots, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(roots.read().decode())
        else:  # of a dead process
            os.unlink(roots.name)
            roots.write(b"d")
"""


def test_a_collector_with_record_locks_finds_the_roots_of_a_process_that_lives(
    store: LocalStore,
) -> None:
    path = add_object(store, "lib-1.0", b"x")
    with opened(store.location) as other:
        other.protect([path])
        directory = os.path.join(store.location.state_dir, "temproots")
        collector = [sys.executable, "-c", _COLLECTOR_OF_GUIX, store.location.collector_lock]
        for _ in range(2):  # the first must not have taken them away
            seen = subprocess.check_output([*collector, directory], text=True)
            assert store.store_dir.path(path) in seen.split("\0")
        other.protect([add_object(store, "lib-1.1", b"y")])
