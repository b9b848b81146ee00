"""Nix's locks: on paths being made, against the collector, against a schema upgrade.

All are flock(2) locks, as Nix takes them (src/libstore/unix/pathlocks.cc); fcntl locks would not
see Nix's.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from graft.errors import StoreError, StorePermissionError

_log = logging.getLogger(__name__)

_STALE_MARKER = b"d"


def open_lock_file(path: str) -> int:
    """Opens a lock file as Nix does, and makes it if it is missing.

    Raises:
        StorePermissionError, StoreError: it cannot be opened.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise StorePermissionError(
            f"cannot open the lock '{path}': you may not write this store; run as its owner",
            path=path,
        ) from error
    except OSError as error:
        raise StoreError(f"cannot open the lock '{path}': {error.strerror}", path=path) from error


def _lock(descriptor: int, operation: int, waiting_for: str) -> None:
    """Takes a flock lock, and says so in the log before it has to wait."""
    try:
        fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        _log.warning("waiting for %s", waiting_for)
        fcntl.flock(descriptor, operation)


@contextmanager
def shared_lock(path: str, waiting_for: str) -> Iterator[None]:
    """Holds a shared lock on a file, which is made if it is missing.

    Args:
        path: the lock file.
        waiting_for: the note if another process holds it.
    """
    descriptor = open_lock_file(path)
    try:
        _lock(descriptor, fcntl.LOCK_SH, waiting_for)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _path_lock(path: str) -> Iterator[None]:
    lock_file = f"{path}.lock"
    while True:
        descriptor = open_lock_file(lock_file)
        try:
            _lock(descriptor, fcntl.LOCK_EX, f"the lock on '{path}'")
            # The holder before us may have unlinked the file; a marker in it says so, and a lock on
            # an unlinked file protects nothing.
            stale = os.fstat(descriptor).st_size != 0
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
def path_locks(paths: Iterable[str]) -> Iterator[None]:
    """Holds Nix's path lock on each path, `<path>.lock`, so that no other process makes it
    meanwhile.

    They are taken in sorted order, as Nix does: two processes with overlapping sets then cannot
    wait for each other.

    Args:
        paths: full paths on the file system; one descriptor stays open for each.
    """
    with ExitStack() as stack:
        for path in sorted(set(paths)):
            stack.enter_context(_path_lock(path))
        yield
