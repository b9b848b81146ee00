"""Stores by their URLs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self

from graft.errors import BadStoreUrlError
from graft.formats.signature import PublicKey
from graft.formats.store_path import StoreDir
from graft.store.api import Source, Target
from graft.store.binary_cache import BinaryCache
from graft.store.caches.address import without_secrets
from graft.store.daemon import DaemonStore, is_for_daemon
from graft.store.exported import SCHEME, ExportedGraph
from graft.store.local import LocalStore
from graft.store.location import Location
from graft.store.nix_settings import NixSettings
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
    if url.startswith(SCHEME):
        return ExportedGraph.open(url, environment)
    return LocalStore(location=Location.parse(url, environment))


def open_sources(
    urls: Iterable[str], environment: Mapping[str, str], opened: ExitStack
) -> list[OpenSource]:
    """Opens stores to be read beside another, in the order in which they are to be asked.

    Stores on this machine go first, then caches, those of a lower priority before the others.

    Args:
        opened: closes them.

    Raises: as `open_store`.
    """
    stores = [opened.enter_context(open_store(url, environment)) for url in urls]
    return sorted(
        stores, key=lambda store: store.priority if isinstance(store, BinaryCache) else -1
    )


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
    with ExitStack() as opened:
        store = opened.enter_context(LocalStore(location=Location.parse(url, environment)))
        daemon = daemon_of(url, store, environment)
        if daemon is not None:
            return daemon
        opened.pop_all()
    return store


def daemon_of(url: str, store: Source, environment: Mapping[str, str]) -> DaemonStore | None:
    """What writes into a store this user may not write, if there is a daemon that does.

    Args:
        url: by which the store was opened: the environment says something of `auto` only.
    """
    if url == "auto" and isinstance(store, LocalStore) and is_for_daemon(store, environment):
        return DaemonStore(store.location, environment)
    return None


def trusted_keys(
    given: Iterable[str], sources: Iterable[Source], environment: Mapping[str, str]
) -> list[PublicKey]:
    """Whose signatures count for what is read from caches.

    Args:
        given: texts of one or several keys, as the user has given them; if there are none, Nix's
            own configuration says it.
        sources: without a cache among them no configuration is read.

    Raises:
        BadFormatError: a key is none, or a file is no configuration.
    """
    texts = list(given)
    keys = [PublicKey.parse(key) for text in texts for key in text.split()]
    if texts or not any(isinstance(source, BinaryCache) for source in sources):
        return keys
    return list(NixSettings.of_user(environment).trusted_public_keys)
