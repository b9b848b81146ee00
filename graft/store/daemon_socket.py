"""Where Nix's daemon listens, and whether it is the one to write into a store."""

from __future__ import annotations

import os
from collections.abc import Mapping

from graft.store.local import LocalStore
from graft.store.local_store.schema import GUIX
from graft.store.location import Location


def daemon_socket(location: Location, environment: Mapping[str, str]) -> str:
    """Where the daemon of a store listens."""
    remote = environment.get("NIX_REMOTE", "")
    if remote.startswith("unix://") and len(remote) > len("unix://"):
        return remote.removeprefix("unix://").partition("?")[0]
    return environment.get("NIX_DAEMON_SOCKET_PATH") or os.path.join(
        location.state_dir, "daemon-socket", "socket"
    )


def is_for_daemon(store: LocalStore, environment: Mapping[str, str]) -> bool:
    """Whether Nix itself would let its daemon write into a store.

    A daemon writes the store if this user may not, and there is a daemon, or NIX_REMOTE says so. A
    store below a root directory has no daemon.
    """
    if (
        store.may_write
        or store.schema is GUIX
        or store.location.real_store_dir != store.location.store_dir
    ):
        return False
    remote = environment.get("NIX_REMOTE", "")
    if remote in {"", "auto"}:
        return os.path.exists(daemon_socket(store.location, environment))
    return remote == "daemon" or remote.startswith("unix://")
