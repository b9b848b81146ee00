"""The rights of this user on the files of a store, and the mount of the store."""

from __future__ import annotations

import os
import pwd

from graft.errors import StoreMissingError, StorePermissionError
from graft.kernel.native import load
from graft.store.location import Location


class Access:
    """The rights of this user on a store.

    Attributes:
        mounted_read_only: whether the store directory lies on a read-only mount, as on NixOS: then
            only a process with a mount namespace of its own can write into it.
        may_write: whether nothing else keeps this user from writing.

    Raises:
        StoreMissingError: there is no store directory.
        StorePermissionError: it may not be looked into.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self.mounted_read_only = _is_mounted_read_only(location.real_store_dir)
        self._unwritable = self._first_unwritable()
        self.may_write = self._unwritable is None

    def _first_unwritable(self) -> str | None:
        """The first part of the store this user may not write."""
        location = self._location
        directories = [location.database_dir, os.path.join(location.state_dir, "temproots")]
        if not self.mounted_read_only:
            directories.insert(0, location.real_store_dir)
        files = [
            os.path.join(location.database_dir, "db.sqlite"),
            os.path.join(location.database_dir, "big-lock"),
            location.collector_lock,
        ]
        for path, mode in [
            *((directory, os.W_OK | os.X_OK) for directory in directories),
            *((file, os.R_OK | os.W_OK) for file in files),
        ]:
            if os.path.lexists(path) and not os.access(path, mode):
                return path
        return None

    def check_readable(self) -> None:
        """Raises StorePermissionError if there is a database that this user may not read."""
        file = os.path.join(self._location.database_dir, "db.sqlite")
        if os.path.exists(file) and not os.access(file, os.R_OK):
            raise StorePermissionError(
                f"you may not read '{file}': run as its owner, {_owner_of(file)}", path=file
            )

    def check_writable(self) -> None:
        """Raises StorePermissionError unless this user may write, maybe after a remount."""
        store = self._location.real_store_dir
        if self.mounted_read_only and os.geteuid() != 0:
            raise StorePermissionError(
                f"the store '{store}' is mounted read-only, and only root can write into it then: "
                "run as root, or name a store of your own with --store",
                path=store,
            )
        if self._unwritable is not None:
            raise StorePermissionError(
                f"you may not write '{self._unwritable}', which belongs to the store: run as its "
                f"owner, {_owner_of(self._unwritable)}, or name a store of your own with --store",
                path=self._unwritable,
            )
        if self.mounted_read_only and load() is None:
            raise StorePermissionError(
                f"the store '{store}' is mounted read-only, and only graft's C extension can mount "
                "it otherwise: install graft where there is a C compiler",
                path=store,
            )


def _is_mounted_read_only(store: str) -> bool:
    try:
        flags = os.statvfs(f"{store}/").f_flag
    except PermissionError as error:
        raise StorePermissionError(
            f"you may not look into the store '{store}': run as its owner", path=store
        ) from error
    except OSError as error:
        raise StoreMissingError(
            f"there is no store directory '{store}': name another store with --store, or make one "
            "with 'graft store init'",
            path=store,
        ) from error
    return bool(flags & os.ST_RDONLY)


def _owner_of(path: str) -> str:
    user = os.stat(path).st_uid
    try:
        return f"'{pwd.getpwuid(user).pw_name}'"
    except KeyError:
        return f"user {user}"
