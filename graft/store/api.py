"""The interface of a store: a source of originals, and a target of grafts.

The planner needs a `Store`, reading bytes needs a `Source`, writing needs a `Target`. A store may
be each of them for another: the executor takes a source and a target, which are often the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Final, Protocol, Self, runtime_checkable

from graft.errors import InvalidPathError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.location import Location
from graft.store.objects import StoreObject

LOCAL_PRIORITY: Final = -1
"""The priority of a store on this machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PathInfo:
    """The registration of one valid path.

    Attributes:
        nar_hash: SHA-256 of the path's NAR, 32 bytes.
        nar_size: length of the NAR in bytes; 0 where the store never recorded it.
        references: the paths found in its bytes, itself included if it refers to itself.
        deriver: the `.drv` it was built from.
        registration_time: seconds since 1970.
        ultimate: made here, hence trusted without a signature.
        signatures: `key:base64` texts.
        content_address: `fixed:...` or `text:...` if the name comes from the contents.
    """

    path: StorePath
    nar_hash: bytes
    nar_size: int
    references: frozenset[StorePath] = field(default=frozenset())
    deriver: StorePath | None = None
    registration_time: int = 0
    ultimate: bool = False
    signatures: tuple[str, ...] = ()
    content_address: str | None = None


class Store(Protocol):
    """A set of valid paths and their registrations."""

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory, part of every full path."""

    @property
    def url(self) -> str:
        """How messages name the store."""

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The registrations of the valid paths among `paths`; the others are left out."""

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""


class Closeable:
    """Something that is closed when the block it is entered for is left."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the open files and connections."""
        raise NotImplementedError


class Source(Store, Protocol):
    """A store whose objects can be read. It is closed when a block that it is entered for is left.

    tests/store/conformance.py holds all its promises, for every kind of store.
    """

    @property
    def priority(self) -> int:
        """The store of the lowest priority is asked first; a store on this machine has -1."""

    @property
    def is_trusted(self) -> bool:
        """Whether its word on its paths counts without a signature: nothing came from elsewhere."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means, be it valid or not.

        Args:
            argument: a full store path or anything inside one, a base name, or a path that leads
                into the store through symlinks.

        Raises:
            BadStorePathError: it leads nowhere inside the store.
        """

    def store_object(self, path: StorePath) -> StoreObject:
        """Where the object of a valid path is."""

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Until the store is closed, no garbage collector deletes the paths or their references.

        They need not be valid yet; whether they are must be asked afterwards. Where this user may
        not write, nothing can be protected.
        """

    def close(self) -> None:
        """Closes the open things of the store: connections, locks, protection from collectors."""


class LocalSource(Source, Protocol):
    """A store whose objects lie as trees on this machine."""

    def tree(self, path: StorePath) -> str:
        """Where the object of a valid path lies on this machine's file system."""


class Making(Protocol):
    """Some paths under their locks, from the moment they are taken until they are registered."""

    @property
    def missing(self) -> Collection[StorePath]:
        """The paths that are to be made; the others were valid and on disk once locked."""

    @property
    def lost(self) -> Collection[StorePath]:
        """The paths that are registered as valid, but are not on disk, and are not repaired."""

    def staging(self, path: StorePath) -> str:
        """Where the tree of a missing path is to be made; nothing is there."""

    def unpacked(self, path: StorePath) -> str:
        """Where an original that is no tree may lie while the missing path is made of it."""

    def finish(self, info: PathInfo) -> None:
        """Takes a finished tree: it gets its final name, and is registered at the end."""


@runtime_checkable
class Target(Source, Protocol):
    """A store that grafts are written to."""

    def check_writable(self) -> None:
        """Raises StorePermissionError unless this user may write; changes nothing."""

    def free_bytes(self) -> int | None:
        """The room left for this user, in bytes; not known for every store."""


@runtime_checkable
class RootedTarget(LocalSource, Target, Protocol):
    """A store on this machine, in which roots and profiles keep new paths."""

    @property
    def location(self) -> Location:
        """The store's directories; the record of grafts is in its state directory."""

    def check_root_link(self, link: str) -> None:
        """Raises RootLinkError unless `add_root` could make this link; changes nothing."""

    def add_root(self, link: str, path: StorePath) -> None:
        """Makes `link` a symlink to the path and a garbage collector root of it."""

    def check_profile(self, profile: str) -> None:
        """Raises ProfileError unless `switch_profile` could work; changes nothing."""

    def switch_profile(self, profile: str, path: StorePath) -> None:
        """Makes the path the current generation of a profile."""


@runtime_checkable
class RelayedTarget(RootedTarget, Protocol):
    """A store on this machine that another process writes, which takes paths from a cache."""

    def receiving(self, *, repair: bool = False) -> AbstractContextManager[Target]:
        """A temporary cache, of which the store gets all new paths if the block ends well.

        Raises:
            UsageError: `repair` is asked for: nothing is taken in the place of a valid path.
        """


@runtime_checkable
class LocalTarget(RootedTarget, Protocol):
    """A store on this machine that grafts are written to as trees."""

    @property
    def needs_remount(self) -> bool:
        """Whether only a process with a mount namespace of its own can write into it. Such a store
        can be pickled; it is opened anew when it is unpickled.
        """

    @property
    def owner(self) -> tuple[int, int]:
        """User and group of everything in the store."""

    def making(
        self, paths: Sequence[StorePath], *, repair: Collection[StorePath] = ()
    ) -> AbstractContextManager[Making]:
        """Locks the paths; at the end registers all that were finished in one transaction.

        Args:
            paths: to be made; each one's references are valid or among them.
            repair: paths that are made again even if they are valid.
        """


def path_info(store: Store, path: StorePath) -> PathInfo:
    """The registration of one path.

    Raises:
        InvalidPathError: the path is not valid in the store.
    """
    info = store.path_infos([path]).get(path)
    if info is None:
        full = store.store_dir.path(path)
        raise InvalidPathError(
            f"path '{full}' is not valid in the store '{store.url}': build or copy it there first",
            path=full,
            store=store.url,
        )
    return info
