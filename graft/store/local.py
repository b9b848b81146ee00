"""The store on this machine's disk, as Nix keeps it: a directory of trees and a database of them.

docs/explanation/living-with-nix.md tells how it lives together with Nix's own programs, and the
reason for each rule.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager

from graft.errors import StoreError, UsageError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import LOCAL_PRIORITY, Closeable, PathInfo
from graft.store.local_store.access import Access
from graft.store.local_store.database import Database
from graft.store.local_store.locks import path_locks, shared_lock
from graft.store.local_store.making import LocalMaking, temporary_names
from graft.store.local_store.schema import (
    NIX,
    Schema,
    check_schema,
    create_database,
    read_schema,
    takes_record_locks,
)
from graft.store.local_store.temporary_roots import TemporaryRoots, shared_temporary_roots
from graft.store.location import Location
from graft.store.objects import TreeObject
from graft.store.roots import roots
from graft.store.roots.profile import Profile


class LocalStore(Closeable):
    """A store in a directory of this machine, with Nix's database.

    Args:
        root: a directory the store is rooted in; it stays /nix/store logically.
        store: another store directory; `state` must be given with it, and no `root`.
        state: the state directory that belongs to `store`.
        location: all three at once, as a URL gives them.

    Without arguments it is the machine's store, as NIX_STORE_DIR and NIX_STATE_DIR say. The
    receiver of a pickled store opens it anew.

    Raises:
        UsageError: `store` is given without `state`, `state` without `store`, or two places.
        StoreMissingError, SchemaError, StorePermissionError: there is no store that can be read.
    """

    def __init__(
        self,
        *,
        root: str | None = None,
        store: str | None = None,
        state: str | None = None,
        location: Location | None = None,
    ) -> None:
        location = _location(root, store, state, location)
        self.location = location
        self._access = Access(location)
        read_schema(location.database_dir, location.store_dir)
        self._records = takes_record_locks(location.store_dir)
        self._temporary_roots: TemporaryRoots | None = None
        with ExitStack() as opened:
            if self._access.may_write:
                # Held until the store is closed: no newer Nix changes the schema meanwhile.
                lock = os.path.join(location.database_dir, "big-lock")
                opened.enter_context(
                    shared_lock(lock, "the big nix store lock", records=self._records)
                )
            else:
                self._access.check_readable()
            self._database = opened.enter_context(
                closing(
                    Database(
                        location.database_dir,
                        location.store_dir,
                        writable=self._access.may_write,
                    )
                )
            )
            self._opened = opened.pop_all()

    def __reduce__(self) -> tuple[Callable[[Location], LocalStore], tuple[Location]]:
        return _opened_again, (self.location,)

    def close(self) -> None:
        """Closes the database, and gives back the temporary roots and the locks."""
        self._opened.close()
        self._temporary_roots = None

    @staticmethod
    def create(location: Location, schema: Schema = NIX) -> None:
        """Makes a new empty store that Nix itself can open, or one in the layout of Guix.

        Raises:
            SchemaError: this schema is not used in that store directory; nothing was made.
            StoreError: there is a store already, or it cannot be made.
        """
        check_schema(schema, location.store_dir)
        if os.path.exists(os.path.join(location.database_dir, "schema")):
            raise StoreError(
                f"there is a store already: '{location.database_dir}' holds its database",
                path=location.database_dir,
            )
        state = location.state_dir
        try:
            os.makedirs(os.path.join(location.real_store_dir, ".links"), exist_ok=True)
            for name in ("db", "profiles", "temproots", "gcroots/auto"):
                os.makedirs(os.path.join(state, name), exist_ok=True)
            profiles = os.path.join(state, "gcroots", "profiles")
            if not os.path.lexists(profiles):
                os.symlink(os.path.join(state, "profiles"), profiles)
            create_database(location.database_dir, schema)
            records = takes_record_locks(location.store_dir)
            with shared_lock(
                location.collector_lock, "a running garbage collector", records=records
            ):
                pass
        except OSError as error:
            raise StoreError(
                f"cannot make a store in '{error.filename}': {error.strerror or ''}",
                path=error.filename,
            ) from error

    @property
    def schema(self) -> Schema:
        """The tables of the store's database, which say whose store it is."""
        return self._database.schema

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self.location.store_dir

    @property
    def url(self) -> str:
        """How messages name the store."""
        return self.location.url

    @property
    def owner(self) -> tuple[int, int]:
        """User and group of the files in the store.

        The group of the store directory itself belongs to the build users and not to its files. So
        new paths get the group their owner would give them.
        """
        user = os.stat(self.location.real_store_dir).st_uid
        if user == os.geteuid():
            return user, os.getegid()
        database = os.stat(self.location.database_dir)
        return user, database.st_gid

    @property
    def priority(self) -> int:
        """The priority of a store on this machine."""
        return LOCAL_PRIORITY

    @property
    def is_trusted(self) -> bool:
        """Always: its database is this machine's own."""
        return True

    def path_infos(self, paths: Iterable[str]) -> dict[StorePath, PathInfo]:
        """The registrations of the valid paths among `paths`, which may be texts."""
        return self._database.path_infos(map(self.store_dir.of, paths))

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""
        return self._database.valid_paths()

    def nar_sizes(self, paths: Iterable[StorePath]) -> dict[StorePath, int]:
        """The sizes of the NARs of the valid paths among `paths`, in bytes."""
        return self._database.nar_sizes(paths)

    def referrers(self, paths: Iterable[StorePath]) -> dict[StorePath, set[StorePath]]:
        """The referrers of each of `paths`, itself included; the set is empty for a path that is
        not valid.
        """
        return self._database.referrers(paths)

    @property
    def bad_rows(self) -> set[str]:
        """The rows of the database, met so far, that name no store path and are left out."""
        return self._database.bad_rows

    def derivers(self, path: StorePath) -> set[StorePath]:
        """The valid derivations that have a path as an output."""
        return self._database.derivers(path)

    def built_by(self, derivation: StorePath) -> set[StorePath]:
        """The valid paths that a derivation, valid or not, was built into."""
        return self._database.built_by(derivation)

    def roots(self) -> dict[str, StorePath]:
        """The permanent garbage collector roots: link to valid path, in the order of the links.

        Paths that processes use, and temporary roots, are not among them.
        """
        found = dict(roots.find_roots(self.store_dir, self.location.state_dir))
        valid = self.path_infos(set(found.values()))
        return {link: path for link, path in sorted(found.items()) if path in valid}

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means; see `Location.resolve`."""
        return self.location.resolve(argument)

    def store_object(self, path: StorePath) -> TreeObject:
        """Where the object of a valid path is."""
        return TreeObject(self.tree(path))

    def tree(self, path: StorePath) -> str:
        """Where the object of a path lies on the file system."""
        return f"{self.location.real_store_dir}/{path}"

    @property
    def needs_remount(self) -> bool:
        """Whether the store is mounted read-only, as NixOS does: then only a process with a mount
        namespace of its own can write into it.
        """
        return self._access.mounted_read_only

    @property
    def may_write(self) -> bool:
        """Whether this user may write into it, after a remount if need be."""
        return self._access.may_write and not (self.needs_remount and os.geteuid() != 0)

    def check_writable(self) -> None:
        """Raises StorePermissionError unless this user may write; changes nothing."""
        self._access.check_writable()

    def free_bytes(self) -> int:
        """The room left on the store's file system for this user, in bytes."""
        status = os.statvfs(self.location.real_store_dir)
        return status.f_frsize * (status.f_bfree if os.geteuid() == 0 else status.f_bavail)

    def protect(self, paths: Iterable[str]) -> None:
        """Until the store is closed, no garbage collector deletes the paths or their references.

        They become temporary roots, of which a collector that is at work is told. A user who may
        not write the store's state cannot make any.
        """
        if not self._access.may_write:
            return
        if self._temporary_roots is None:
            self._temporary_roots = self._opened.enter_context(
                shared_temporary_roots(self.location.state_dir, records=self._records)
            )
        self._temporary_roots.add(self.store_dir.path(self.store_dir.of(path)) for path in paths)

    def _hand_over(self, path: StorePath) -> None:
        """Sees to it that a path with a new permanent root needs no temporary one any more."""
        if self._temporary_roots is not None:
            self._temporary_roots.add_again([self.store_dir.path(path)])

    @contextmanager
    def making(
        self, paths: Sequence[StorePath], *, repair: Collection[StorePath] = ()
    ) -> Iterator[LocalMaking]:
        """Locks the paths; at the end registers all that were finished in one transaction.

        If it is left by an exception nothing is registered, and nothing that was made stays.
        """
        self.check_writable()
        if self._database.schema.exact_temporary_roots:
            self.protect(StorePath(name) for path in paths for name in temporary_names(path))
        with path_locks((self.tree(path) for path in paths), records=self._records):
            making = LocalMaking(self.location, self._database, paths, repair)
            try:
                yield making
                making.register()
            except BaseException:
                making.undo()
                raise
            finally:
                making.clean()

    def check_root_link(self, link: str) -> None:
        """Raises RootLinkError unless `add_root` could make this link; changes nothing."""
        roots.check_root_link(link, self.store_dir)

    def add_root(self, link: str, path: str) -> None:
        """Makes `link` a symlink to the path and a garbage collector root of it."""
        path = self.store_dir.of(path)
        roots.add_root(link, path, self.store_dir, self.location.state_dir)
        self._hand_over(path)

    def check_profile(self, profile: str) -> None:
        """Raises ProfileError unless `switch_profile` could work; changes nothing."""
        Profile(profile, self.store_dir).check()

    def switch_profile(self, profile: str, path: str) -> None:
        """Makes the path the current generation of a profile."""
        path = self.store_dir.of(path)
        Profile(profile, self.store_dir).switch(path, self.location.state_dir)
        self._hand_over(path)


def _opened_again(location: Location) -> LocalStore:
    return LocalStore(location=location)


def _location(
    root: str | None, store: str | None, state: str | None, location: Location | None
) -> Location:
    if (store is None) != (state is None):
        given, missing = ("store", "state") if state is None else ("state", "store")
        raise UsageError(
            f"LocalStore({given}={store or state!r}) lacks '{missing}': give both the store "
            "directory and its state directory, or 'root'"
        )
    places = [place for place in (root, store, location) if place is not None]
    if len(places) > 1:
        raise UsageError(
            "LocalStore is given two places: say only one of 'root', 'store' with 'state', and "
            "'location'"
        )
    if location is not None:
        return location
    if root is not None:
        return Location.at_root(root)
    if store is not None and state is not None:
        return Location.of_directories(store, state)
    return Location.parse("auto", os.environ)
