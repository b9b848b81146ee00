"""Stores by their URLs."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol, Self

from graft.errors import BadStoreUrlError
from graft.formats.store_path import StoreDir
from graft.store.api import Source, Target
from graft.store.binary_cache import BinaryCache
from graft.store.cache_address import without_secrets
from graft.store.daemon import DaemonStore, is_for_daemon
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.writable_cache import WritableCache

_CACHES = ("file:", "http:", "https:", "s3:")
_WRITABLE_CACHES = ("file:", "s3:")


class _Open(Protocol):
    """What is closed when it is left."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...


class OpenSource(Source, _Open, Protocol):
    """A source that is closed when it is left."""


class OpenTarget(Target, _Open, Protocol):
    """A target that is closed when it is left."""


def open_store(url: str, environment: Mapping[str, str]) -> OpenSource:
    """Opens a store; a cache of a kind that can be written is opened so.

    Args:
        url: as for `--store`.
        environment: what `auto` depends on.

    Raises:
        BadStoreUrlError: the URL has no form that is known.
        StoreMissingError, StoreError, CacheError: there is none that can be read.
    """
    if url.startswith(_WRITABLE_CACHES):
        return WritableCache.open(url)
    if url.startswith(_CACHES):
        return BinaryCache.open(url)
    return LocalStore(location=Location.parse(url, environment))


def open_local_store(url: str, environment: Mapping[str, str]) -> LocalStore:
    """Opens a store on this machine.

    Raises:
        BadStoreUrlError: it is a cache, or nothing that is known. Else as `open_store`.
    """
    if url.startswith(_CACHES):
        shown = without_secrets(url)
        raise BadStoreUrlError(
            f"'{shown}' is a binary cache, and this needs a store on this machine: copy the paths "
            "into one first, as 'nix copy --from' does",
            url=shown,
        )
    return LocalStore(location=Location.parse(url, environment))


def open_target(url: str, environment: Mapping[str, str], store_dir: StoreDir) -> OpenTarget:
    """Opens a store to be written; a cache is made if there is none.

    Args:
        store_dir: the logical store directory of what is written.

    Raises: as `open_store`; BadStoreUrlError also for a cache that can only be read.
    """
    if url.startswith(_CACHES):
        return WritableCache.create(url, store_dir)
    store = LocalStore(location=Location.parse(url, environment))
    return daemon_of(url, store, environment) or store


def daemon_of(url: str, store: LocalStore, environment: Mapping[str, str]) -> DaemonStore | None:
    """What writes into a store this user may not write, if there is a daemon that does.

    Args:
        url: by which the store was opened: the environment says something of `auto` only.
    """
    if url != "auto" or not is_for_daemon(store, environment):
        return None
    return DaemonStore(store.location, environment)
