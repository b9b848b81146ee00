"""Nix's and Guix's locks: on paths being made, against the collector, against a schema upgrade.

Nix takes flock(2) locks (src/libstore/unix/pathlocks.cc), and guix-daemon takes POSIX record locks
on the same files (nix/libstore/pathlocks.cc of Guix). Neither kind sees the other. So a lock where
Guix may be at work has both kinds. The second is an open file description lock: it conflicts with
record locks, and lasts as long as its descriptor, as the flock lock does.
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from graft.errors import StoreError, StorePermissionError

_log = logging.getLogger(__name__)

_STALE_MARKER = b"d"
# The owner of the directory need not be root: no link of that user's is followed.
_LOCK_FILE = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW

# struct flock: type, whence, start, length (0: all of the file), process (0 as fcntl(2) demands).
_RECORD_LOCK = struct.Struct("hhqqi4x")
_RECORD_LOCKS = {
    fcntl.LOCK_SH: fcntl.F_RDLCK,
    fcntl.LOCK_EX: fcntl.F_WRLCK,
    fcntl.LOCK_UN: fcntl.F_UNLCK,
}


def give_to_owner(directory: str, path: str) -> None:
    """Gives a file or symlink that root has made in a directory to the directory's owner.

    A daemon that is not root owns its store and state, and must read and lock all files in them.

    Raises:
        OSError: the owner cannot be changed.
    """
    if os.geteuid() != 0:
        return
    owner = os.stat(directory)
    if owner.st_uid != 0:
        os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def open_lock_file(path: str) -> int:
    """Opens a lock file as Nix does, and makes it if it is missing; its owner is the directory's.

    Raises:
        StorePermissionError, StoreError: it cannot be opened.
    """
    try:
        descriptor = os.open(path, _LOCK_FILE, 0o600)
    except PermissionError as error:
        raise StorePermissionError(
            f"cannot open the lock '{path}': you may not write this store; run as its owner",
            path=path,
        ) from error
    except OSError as error:
        raise StoreError(f"cannot open the lock '{path}': {error.strerror}", path=path) from error
    try:
        give_to_owner(os.path.dirname(path), path)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock(descriptor: int, operation: int, *, records: bool) -> None:
    """Takes a lock on a whole file, turns it into one of the other kind, or gives it up.

    Args:
        descriptor: open for reading and writing; the lock ends when it is closed.
        operation: LOCK_SH, LOCK_EX or LOCK_UN, and LOCK_NB not to wait.
        records: whether record locks of other processes count as well.

    Raises:
        BlockingIOError: another process holds it, and `operation` has LOCK_NB. Then nothing is
            locked.
    """
    fcntl.flock(descriptor, operation)
    if not records:
        return
    wait = fcntl.F_OFD_SETLK if operation & fcntl.LOCK_NB else fcntl.F_OFD_SETLKW
    kind = _RECORD_LOCKS[operation & ~fcntl.LOCK_NB]
    try:
        fcntl.fcntl(descriptor, wait, _RECORD_LOCK.pack(kind, os.SEEK_SET, 0, 0, 0))
    except (BlockingIOError, PermissionError) as error:  # POSIX allows EAGAIN and EACCES
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        raise BlockingIOError(*error.args) from error


def is_locked(descriptor: int, *, records: bool) -> bool:
    """Whether another process holds a lock on a file, of either sort; leaves nothing locked.

    Args:
        descriptor: open for reading.
        records: whether record locks count as well.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    if not records:
        return False
    asked = _RECORD_LOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind: int = _RECORD_LOCK.unpack(fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked))[0]
    return kind != fcntl.F_UNLCK


def _lock(descriptor: int, operation: int, waiting_for: str, *, records: bool) -> None:
    """Takes a lock, and says so in the log before it has to wait."""
    try:
        lock(descriptor, operation | fcntl.LOCK_NB, records=records)
    except BlockingIOError:
        _log.warning("waiting for %s", waiting_for)
        lock(descriptor, operation, records=records)


@contextmanager
def shared_lock(path: str, waiting_for: str, *, records: bool) -> Iterator[None]:
    """Holds a shared lock on a file, which is made if it is missing.

    Args:
        path: the lock file.
        waiting_for: the note if another process holds it.
        records: whether record locks of other processes count as well.
    """
    descriptor = open_lock_file(path)
    try:
        _lock(descriptor, fcntl.LOCK_SH, waiting_for, records=records)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _path_lock(path: str, *, records: bool) -> Iterator[None]:
    lock_file = f"{path}.lock"
    while True:
        descriptor = open_lock_file(lock_file)
        try:
            _lock(descriptor, fcntl.LOCK_EX, f"the lock on '{path}'", records=records)
            # The holder before us may have unlinked the file; a marker in it says so, but for the
            # lock of a profile in Guix. A lock on an unlinked file protects nothing.
            status = os.fstat(descriptor)
            stale = status.st_size != 0 or status.st_nlink == 0
        except BaseException:
            os.close(descriptor)
            raise
        if not stale:
            break
        os.close(descriptor)
    try:
        yield
    finally:
        os.unlink(lock_file)
        os.write(descriptor, _STALE_MARKER)
        os.close(descriptor)


@contextmanager
def path_locks(paths: Iterable[str], *, records: bool) -> Iterator[None]:
    """Holds Nix's path lock on each path, `<path>.lock`, so that no other process makes it
    meanwhile.

    They are taken in sorted order, as Nix does: two processes with overlapping sets then cannot
    wait for each other.

    Args:
        paths: full paths on the file system; one descriptor stays open for each.
        records: whether record locks of other processes count as well.
    """
    with ExitStack() as stack:
        for path in sorted(set(paths)):
            stack.enter_context(_path_lock(path, records=records))
        yield
