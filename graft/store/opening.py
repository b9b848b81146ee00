"""Stores by their URLs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING

from graft.errors import BadStoreUrlError
from graft.formats.store_path import StoreDir
from graft.store.api import Source, Target
from graft.store.daemon_socket import is_for_daemon
from graft.store.kinds import LOCAL, kind_of, without_secrets
from graft.store.local import LocalStore
from graft.store.location import Location

if TYPE_CHECKING:
    from graft.formats.signature import PublicKey
    from graft.store.daemon import DaemonStore


def open_store(url: str, environment: Mapping[str, str]) -> Source:
    """Opens a store; a cache of a kind that can be written is opened so.

    Args:
        url: as for `--store`.
        environment: the variables that `auto` depends on.

    Raises:
        BadStoreUrlError: the URL has no form that is known.
        StoreMissingError, StoreError, CacheError: the store is missing or cannot be read.
    """
    return kind_of(url).open(url, environment)


def open_sources(
    urls: Iterable[str], environment: Mapping[str, str], opened: ExitStack
) -> list[Source]:
    """Opens stores to be read in addition to another, in the order in which they are to be asked.

    Stores on this machine go first, then caches, the ones of a lower priority before the others.

    Args:
        opened: closes them.

    Raises: as `open_store`.
    """
    stores = [opened.enter_context(open_store(url, environment)) for url in urls]
    return sorted(stores, key=lambda store: store.priority)


def open_local_store(url: str, environment: Mapping[str, str]) -> LocalStore:
    """Opens a store on this machine.

    Raises:
        BadStoreUrlError: it is of another kind, or of no form that is known. Else as `open_store`.
    """
    kind = kind_of(url)
    if kind is not LOCAL:
        shown = without_secrets(url)
        raise BadStoreUrlError(
            f"'{shown}' is a {kind.noun}, and this needs a store on this machine: copy the paths "
            "into one first, as 'nix copy --from' does",
            url=shown,
        )
    return LocalStore(location=Location.parse(url, environment))


def open_target(url: str, environment: Mapping[str, str], store_dir: StoreDir) -> Target:
    """Opens a store to be written; a missing cache is made.

    Args:
        store_dir: the logical store directory of written paths.

    Raises: as `open_store`; BadStoreUrlError also for a cache that can only be read.
    """
    return kind_of(url).create(url, environment, store_dir)


def open_local_target(
    url: str, environment: Mapping[str, str], _store_dir: StoreDir
) -> LocalStore | DaemonStore:
    """Opens a store on this machine to be written, by its daemon if this user may not.

    Raises: as `open_store`.
    """
    with ExitStack() as opened:
        store = opened.enter_context(open_local_store(url, environment))
        daemon = daemon_of(url, store, environment)
        if daemon is not None:
            return daemon
        opened.pop_all()
    return store


def daemon_of(url: str, store: Source, environment: Mapping[str, str]) -> DaemonStore | None:
    """The daemon that writes into a store this user may not write, if there is one.

    Args:
        url: by which the store was opened: the environment says something of `auto` only.
    """
    if url == "auto" and isinstance(store, LocalStore) and is_for_daemon(store, environment):
        from graft.store.daemon import DaemonStore  # noqa: PLC0415 - with all of caches

        return DaemonStore(store.location, environment)
    return None


def trusted_keys(
    given: Iterable[str], sources: Iterable[Source], environment: Mapping[str, str]
) -> list[PublicKey]:
    """The keys whose signatures count for paths from caches.

    Args:
        given: texts of one or several keys, as the user has given them; the default is Nix's own
            configuration.
        sources: unless one of them needs signatures no configuration is read.

    Raises:
        BadFormatError: a key or the configuration is malformed.
    """
    from graft.formats.signature import PublicKey  # noqa: PLC0415 - for caches only
    from graft.store.nix_settings import NixSettings  # noqa: PLC0415

    texts = list(given)
    keys = [PublicKey.parse(key) for text in texts for key in text.split()]
    if texts or all(source.is_trusted for source in sources):
        return keys
    return list(NixSettings.of_user(environment).trusted_public_keys)
