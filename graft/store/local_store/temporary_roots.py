"""Temporary roots: the paths of this process, kept from the garbage collector.

Source: addTempRoot, findTempRoots and collectGarbage in src/libstore/gc.cc of Nix 2.5 and later. A
process writes its roots, each with a NUL behind it, into `temproots/<pid>` and keeps a lock on the
file while it lives. A collector reads these files once it has `gc.lock` exclusively; it must be
told of later roots through `gc-socket/socket`, and answers when the path is safe.

Older collectors, and Guix's, have no socket. They lock the files for reading while they work. So
ours is locked exclusively only while it is written, and never while `gc.lock` is waited for.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from graft.errors import BadStorePathError, StoreError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.local_store.locks import give_to_owner, is_locked, lock, open_lock_file
from graft.store.local_store.schema import takes_record_locks
from graft.store.unix_socket import connected_socket

_log = logging.getLogger(__name__)

_ACKNOWLEDGED = b"1"
_MOST_PROCESSES = 1 << 22  # the kernel's highest limit of process numbers
_MOST_NUMBER = (1 << 31) - 1  # Nix reads the name as a number of 32 bits
_STALE_MARKER_SIZE = 0  # a file of another size was given up by a collector
_SOCKET_PATIENCE_SECONDS = 5.0  # a collector that has begun opens its socket at once
_RETRY_SECONDS = 0.05


class TemporaryRoots:
    """The temporary roots of this process in one store.

    Args:
        state_dir: the store's state directory; at most one object in a process may be open for it.
        records: whether its collector takes record locks, as Guix's does.

    Attributes:
        path: the file of the roots.
    """

    def __init__(self, state_dir: str, *, records: bool) -> None:
        self._records = records
        self._collector_lock = open_lock_file(os.path.join(state_dir, "gc.lock"))
        self._socket = os.path.join(state_dir, "gc-socket", "socket")
        self._connection: socket.socket | None = None
        self._rooted: set[str] = set()
        directory = os.path.join(state_dir, "temproots")
        if not os.path.isdir(directory):
            os.makedirs(directory, exist_ok=True)
            give_to_owner(state_dir, directory)
        number = os.getpid()
        while (opened := self._open(path := os.path.join(directory, str(number)))) is None:
            number = random.randint(_MOST_PROCESSES + 1, _MOST_NUMBER)  # noqa: S311 - no secret
        self.path, self._file = path, opened

    def _open(self, path: str) -> int | None:
        """Makes a file for the roots, and locks it; None if a process that lives has it.

        The process may be of this one's number, in another namespace of processes.
        """
        while True:
            descriptor = open_lock_file(path)
            try:
                lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, records=self._records)
            except BlockingIOError:
                os.close(descriptor)
                return None
            status = os.fstat(descriptor)
            if status.st_nlink and status.st_size == _STALE_MARKER_SIZE:
                lock(descriptor, fcntl.LOCK_SH, records=self._records)
                return descriptor
            # Of a dead process, unless a collector took it away before it was locked here.
            if status.st_nlink:
                os.unlink(path)
            os.close(descriptor)

    def close(self) -> None:
        """Gives the roots up."""
        self._disconnect()
        os.close(self._collector_lock)
        with suppress(FileNotFoundError):  # an administrator may have cleared the directory
            os.unlink(self.path)
        os.close(self._file)

    def add(self, paths: Iterable[str]) -> None:
        """Returns when no collector will delete the paths, nor the references of valid ones.

        Whether they are valid must be asked afterwards: a collector may have deleted them just
        before.

        Args:
            paths: full logical paths, which need not exist.
        """
        self.add_again(path for path in paths if path not in self._rooted)

    def add_again(self, paths: Iterable[str]) -> None:
        """As `add`, and a collector that has begun since then keeps the paths until it ends.

        To be called between the making of a permanent root and the end of the temporary one. A
        collector reads the permanent roots first, and the temporary ones when it has looked at
        every process. A root that became permanent in between, and whose temporary root was given
        up, would be in neither list.
        """
        for path in paths:
            self._add(path)
            self._rooted.add(path)

    def _add(self, path: str) -> None:
        given_up = time.monotonic() + _SOCKET_PATIENCE_SECONDS
        while not self._write_beside_no_collector(path, wait=False):
            if self._tell_collector(path):
                self._write(path)
                return
            if time.monotonic() > given_up:
                _log.warning("waiting for a garbage collector that cannot be told of new roots")
                self._write_beside_no_collector(path, wait=True)
                return
            time.sleep(_RETRY_SECONDS)  # it ends just now, or is about to listen

    def _write_beside_no_collector(self, path: str, *, wait: bool) -> bool:
        """Writes the root while no collector can begin; False if one is at work."""
        try:
            self._lock(self._collector_lock, fcntl.LOCK_SH | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        try:
            self._lock(self._file, fcntl.LOCK_EX)
            self._write(path)
            self._lock(self._file, fcntl.LOCK_SH)
        finally:
            self._lock(self._collector_lock, fcntl.LOCK_UN)
        return True

    def _lock(self, descriptor: int, operation: int) -> None:
        lock(descriptor, operation, records=self._records)

    def _write(self, path: str) -> None:
        os.write(self._file, os.fsencode(path) + b"\0")

    def _tell_collector(self, path: str) -> bool:
        """Sends the root to the running collector; False if no collector answers."""
        try:
            if self._connection is None:
                self._connection = connected_socket(self._socket)
            self._connection.sendall(os.fsencode(path) + b"\n")
            answer = self._connection.recv(1)
        except (ConnectionError, FileNotFoundError):
            self._disconnect()
            return False
        if not answer:
            self._disconnect()
            return False
        if answer != _ACKNOWLEDGED:
            raise StoreError(
                f"the garbage collector did not accept '{path}' as a root: try again", path=path
            )
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_open_roots: dict[tuple[int, str], tuple[int, TemporaryRoots]] = {}
_open_roots_lock = threading.Lock()


def find_temporary_roots(store_dir: StoreDir, state_dir: str) -> dict[int, set[StorePath]]:
    """The paths that other processes work on in a store, by process id: builds, copies, grafts.

    A file that no process has locked is a dead process's, and counts for nothing; nor does one that
    may not be read. A number above the kernel's highest is of a process whose own was taken.
    """
    directory = os.path.join(state_dir, "temproots")
    found: dict[int, set[StorePath]] = {}
    try:
        names = os.listdir(directory)
    except OSError:
        return {}
    own = {roots.path for _, roots in _open_roots.values()}
    for pid in sorted(int(name) for name in names if name.isdecimal()):
        if os.path.join(directory, str(pid)) in own:
            continue
        try:
            with open(os.path.join(directory, str(pid)), encoding="utf-8") as stream:
                if not is_locked(stream.fileno(), records=takes_record_locks(store_dir)):
                    continue
                # The text behind the last NUL is still being written.
                texts = stream.read().split("\0")[:-1]
            found[pid] = set(map(store_dir.parse, texts))
        except (OSError, ValueError, BadStorePathError):
            continue
    return found


@contextmanager
def shared_temporary_roots(state_dir: str, *, records: bool) -> Iterator[TemporaryRoots]:
    """The temporary roots of this process in one store, for as long as anybody is inside.

    Nix takes the file of a process's number for the file of that process. Two objects for one store
    would take the file away from each other.

    Args:
        state_dir, records: as of `TemporaryRoots`.
    """
    key = (os.getpid(), os.path.realpath(state_dir))
    with _open_roots_lock:
        users, roots = _open_roots.get(key) or (
            0,
            TemporaryRoots(state_dir, records=records),
        )
        _open_roots[key] = (users + 1, roots)
    try:
        yield roots
    finally:
        with _open_roots_lock:
            users, roots = _open_roots.pop(key)
            if users > 1:
                _open_roots[key] = (users - 1, roots)
            else:
                roots.close()
