"""The files of a binary cache in a directory: `file://`.

New files get their names when they are whole. Until then they are in a directory `.graft-...` of
the cache, locked by its writer. An unlocked directory is left over from a run that died, and goes
when the next one begins to write.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from graft.errors import CacheError, NoSpaceError, StorePermissionError
from graft.kernel.native import load
from graft.store.caches.files import LARGEST_TEXT

_STAGING_PREFIX: Final = ".graft-"
_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})


class CacheDirectory:
    """A directory of this machine.

    Args:
        path: absolute; it need not be there until something is written.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._staging: _Staging | None = None

    @property
    def url(self) -> str:
        """How messages name the cache."""
        return f"file://{self.path}"

    @property
    def connections(self) -> int:
        """One: a disk's cache answers at once."""
        return 1

    def read(self, name: str) -> bytes | None:
        """A small file, whole, if it is there."""
        try:
            stream = _open(os.path.join(self.path, name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._error(error, name) from error
        with os.fdopen(stream, "rb") as file:
            try:
                data = file.read(LARGEST_TEXT + 1)
            except OSError as error:
                raise self._error(error, name) from error
        if len(data) > LARGEST_TEXT:
            raise CacheError(
                f"file '{name}' of the cache '{self.url}' is longer than any such file",
                store=self.url,
                file=name,
            )
        return data

    def open(self, name: str) -> DirectoryStream:
        """A file of any size."""
        try:
            return DirectoryStream(
                _open(os.path.join(self.path, name)), lambda error: self._error(error, name)
            )
        except OSError as error:
            raise self._error(error, name) from error

    def close(self) -> None:
        """Removes unfinished files, of dead processes as well."""
        if self._staging is not None:
            self._staging.remove()
            self._staging = None
            with suppress(OSError):  # the next writer will try again
                _remove_left_over(self.path)

    def names(self) -> list[str]:
        """The names of the files directly in the cache."""
        try:
            return os.listdir(self.path)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._error(error, ".") from error

    def size(self, name: str) -> int | None:
        """The length of a file in bytes, if it is there."""
        try:
            found = os.stat(os.path.join(self.path, name))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._error(error, name) from error
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def check_writable(self) -> None:
        """Raises StorePermissionError unless this user may write; changes nothing."""
        place = self._nearest()
        if not os.access(place, os.W_OK | os.X_OK):
            raise StorePermissionError(
                f"the cache '{self.url}' may not be written by this user: '{place}' is not theirs; "
                "name another directory",
                store=self.url,
                path=place,
            )

    def free_bytes(self) -> int:
        """The room left on the file system for this user, in bytes."""
        try:
            status = os.statvfs(self._nearest())
        except OSError as error:
            raise self._error(error, ".") from error
        return status.f_frsize * (status.f_bfree if os.geteuid() == 0 else status.f_bavail)

    def _nearest(self) -> str:
        """The directory, or the nearest existing one above it."""
        place = self.path
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        return place

    def create(self) -> NewDirectoryFile:
        """A file to be written, whose name is told when it is whole.

        Raises:
            CacheError, StorePermissionError, NoSpaceError: nothing can be written there.
        """
        try:
            with self._lock:
                if self._staging is None:
                    os.makedirs(os.path.join(self.path, "nar"), exist_ok=True)
                    _remove_left_over(self.path)
                    self._staging = _Staging(self.path)
                place = os.path.join(self._staging.path, str(next(self._staging.numbers)))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            return NewDirectoryFile(os.open(place, flags, 0o666), place, self.path, self._error)
        except OSError as error:
            raise self._error(error, ".") from error

    def sync(self) -> None:
        """Waits until all that was written is on the disk itself."""
        native = load()
        try:
            if native is None:
                os.sync()
            else:
                native.syncfs(os.fsencode(self.path))
        except OSError as error:
            raise self._error(error, ".") from error

    def _error(self, error: OSError, name: str) -> CacheError | NoSpaceError | StorePermissionError:
        kind: type[CacheError | NoSpaceError | StorePermissionError] = CacheError
        if error.errno in _NO_SPACE:
            kind = NoSpaceError
        elif error.errno in _NOT_ALLOWED:
            kind = StorePermissionError
        reason = error.strerror or str(error)
        return kind(
            f"file '{name}' of the cache '{self.url}' cannot be used: {reason}",
            store=self.url,
            file=name,
        )


class DirectoryStream:
    """A file that is read."""

    def __init__(self, descriptor: int, failed: Callable[[OSError], Exception]) -> None:
        self._file = os.fdopen(descriptor, "rb", buffering=0)
        self._failed = failed

    def readinto(self, view: memoryview) -> int:
        """Puts bytes at the beginning of a buffer, and returns how many: 0 only at the end."""
        try:
            return self._file.readinto(view) or 0
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class NewDirectoryFile:
    """A file that is written, and is not in the cache until it has a name there."""

    def __init__(
        self,
        descriptor: int,
        place: str,
        directory: str,
        failed: Callable[[OSError, str], Exception],
    ) -> None:
        self._file = os.fdopen(descriptor, "wb", buffering=0)
        self._place = place
        self._directory = directory
        self._failed = failed

    def write(self, data: bytes | memoryview) -> None:
        """Writes all the bytes."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise self._failed(error, os.path.basename(self._place)) from error

    def close(self) -> None:
        """Writes no more."""
        try:
            self._file.close()
        except OSError as error:
            raise self._failed(error, os.path.basename(self._place)) from error

    def publish(self, name: str) -> None:
        """Puts the file into the cache under a name, and replaces any file of that name."""
        self.close()
        try:
            os.rename(self._place, os.path.join(self._directory, name))
        except OSError as error:
            raise self._failed(error, name) from error

    def discard(self) -> None:
        """Removes the file."""
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._place)


class _Staging:
    """A directory in the cache, locked as long as files are written there."""

    def __init__(self, directory: str) -> None:
        self.numbers = itertools.count()
        while True:
            self.path = tempfile.mkdtemp(prefix=_STAGING_PREFIX, dir=directory)
            # Another run may have taken it for left over before it was locked.
            descriptor = _locked(self.path)
            if descriptor is not None:
                self._descriptor = descriptor
                return

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def _locked(place: str) -> int | None:
    """A descriptor of the directory with its lock; None if it is another's, or gone."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.lexists(place):
            return descriptor
    except BlockingIOError:
        pass
    os.close(descriptor)
    return None


def _remove_left_over(directory: str) -> None:
    for name in os.listdir(directory):
        place = os.path.join(directory, name)
        if name.startswith(_STAGING_PREFIX) and (descriptor := _locked(place)) is not None:
            shutil.rmtree(place, ignore_errors=True)
            os.close(descriptor)


def _open(path: str) -> int:
    # Not blocking: of a pipe somebody has put there nothing would ever come.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "it is no regular file")
