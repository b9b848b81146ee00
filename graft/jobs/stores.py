"""The stores of a job, opened, and which kinds they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from graft.errors import UsageError
from graft.executor import Delivery
from graft.formats.signature import PublicKey
from graft.formats.store_path import StorePath
from graft.jobs.request import Transfer
from graft.objects.library_copies import CopyFinder
from graft.store.api import LocalTarget, RootedTarget, Source, Target
from graft.store.daemon import DaemonStore
from graft.store.local import LocalStore
from graft.store.opening import (
    daemon_of,
    open_sources,
    open_store,
    open_target,
    trusted_keys,
)
from graft.store.trust import read_secret_key
from graft.store.union import UnitedStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """The open stores of jobs that agree in them.

    Attributes:
        source: where everything is that is read.
        target: where results go, often the same store.
        delivery: how they are written there.
        trusted_public_keys: the keys that must have signed a path from a cache, unless its name
            comes from its contents; None to trust all paths.
    """

    source: Source
    target: Target
    delivery: Delivery = field(default_factory=Delivery)
    trusted_public_keys: Collection[PublicKey] | None = None
    _finders: dict[tuple[StorePath, ...], CopyFinder] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def copy_finder(self, olds: Sequence[StorePath]) -> CopyFinder:
        """The finder of copies of some paths' libraries in programs; jobs share it.

        Raises: as CopyFinder.
        """
        key = tuple(olds)
        if key not in self._finders:
            self._finders[key] = CopyFinder(self.source, key, programs=True)
        return self._finders[key]

    @property
    def daemon(self) -> DaemonStore | None:
        """The target, if a daemon writes it."""
        return self.target if isinstance(self.target, DaemonStore) else None

    @property
    def machine(self) -> LocalStore | DaemonStore | None:
        """The target, if it has a machine's record of grafts."""
        return self.target if isinstance(self.target, LocalStore | DaemonStore) else None

    @property
    def rooted(self) -> RootedTarget | None:
        """The target, if roots and profiles keep its paths."""
        return self.target if isinstance(self.target, RootedTarget) else None

    @property
    def links(self) -> bool:
        """Whether unchanged files may be hard links: no cache and no daemon takes them."""
        return self.delivery.links and isinstance(self.target, LocalTarget)


class StoreOpening:
    """The stores that a job names, opened one after the other.

    Args:
        transfer: the options that name them.
        store_url: the URL of the store, if the job has no URL.
        environment: the variables that the store `auto` and Nix's settings depend on.
        stack: the stack that closes the open stores.

    Attributes:
        store: in which roots and replacements are.
        source: the source of all paths: that store, and the other sources.

    Raises:
        GraftError: a store cannot be opened, or a key cannot be read.
    """

    def __init__(
        self,
        transfer: Transfer,
        store_url: str,
        environment: Mapping[str, str],
        stack: ExitStack,
    ) -> None:
        self._transfer = transfer
        self._environment = environment
        self._stack = stack
        self._url = transfer.store or store_url
        self._target: Target | None = None
        self._delivery = replace(
            transfer.delivery, sign_keys=tuple(map(read_secret_key, transfer.key_files))
        )
        self.store: Source = stack.enter_context(open_store(self._url, environment))
        others = open_sources(transfer.sources, environment, stack)
        self.source: Source = UnitedStore(self.store, *others) if others else self.store
        self._trusted = (
            trusted_keys(transfer.trusted_public_keys, [self.store, *others], environment)
            if transfer.check_sigs
            else None
        )

    def open_target(self) -> None:
        """Opens the target, if it is not `store` itself: another store, or its daemon."""
        if self._transfer.target is not None:
            url, store_dir = self._transfer.target, self.store.store_dir
            target = open_target(url, self._environment, store_dir)
            self._target = self._stack.enter_context(target)
        elif (daemon := daemon_of(self._url, self.store, self._environment)) is not None:
            self._target = self._stack.enter_context(daemon)

    @property
    def daemon(self) -> DaemonStore | None:
        """The daemon that writes the target, if there is one."""
        return self._target if isinstance(self._target, DaemonStore) else None

    def stores(self) -> Stores:
        """All of them.

        Raises:
            UsageError: the result goes to `store`, which cannot be written.
        """
        return Stores(
            source=self.source,
            target=as_target(self.store) if self._target is None else self._target,
            delivery=self._delivery,
            trusted_public_keys=self._trusted,
        )


def daemon_note(daemon: DaemonStore) -> str:
    """The note before a daemon writes."""
    return (
        f"you may not write the store '{daemon.store_dir}': new paths go into a temporary "
        "cache, and from there through the Nix daemon, with 'nix copy'"
    )


def as_target(store: Source) -> Target:
    """The store, if it can be written.

    Raises:
        UsageError: it cannot.
    """
    if not isinstance(store, Target):
        raise UsageError(
            f"nothing can be written into the store '{store.url}': say with --to where the result "
            "is to go"
        )
    return store
