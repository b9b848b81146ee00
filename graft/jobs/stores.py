"""The stores of a job, opened and known whom to believe, as `graft apply` does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from graft.formats.signature import PublicKey, SecretKey
from graft.jobs.apply import as_target
from graft.jobs.batch.job import Transfer
from graft.store.api import Source, Target
from graft.store.opening import daemon_of, open_sources, open_store, open_target, trusted_keys
from graft.store.trust import read_secret_key
from graft.store.union import UnitedStore


@dataclass(frozen=True, kw_only=True)
class Stores:
    """What jobs have open that agree in it.

    Attributes:
        source: where everything is that is read.
        target: where results go.
        sign_keys: sign what is written.
        trusted_public_keys: whose signatures are believed; None: none are needed.
    """

    source: Source
    target: Target
    sign_keys: Sequence[SecretKey]
    trusted_public_keys: Sequence[PublicKey] | None


def open_stores(
    transfer: Transfer, store_url: str, environment: Mapping[str, str], stack: ExitStack
) -> Stores:
    """Opens what a job wants.

    Args:
        store_url: of the store, if the job names none.
        environment: what the store `auto` and Nix's settings depend on.
        stack: closes what was opened.

    Raises:
        GraftError: a store cannot be opened, or a key cannot be read.
    """
    url = transfer.store or store_url
    store = stack.enter_context(open_store(url, environment))
    others = open_sources(transfer.sources, environment, stack)
    target: Target
    if transfer.target is not None:
        target = stack.enter_context(open_target(transfer.target, environment, store.store_dir))
    elif (daemon := daemon_of(url, store, environment)) is not None:
        target = stack.enter_context(daemon)
    else:
        target = as_target(store)
    return Stores(
        source=UnitedStore(store, *others) if others else store,
        target=target,
        sign_keys=[read_secret_key(file) for file in transfer.sign_keys],
        trusted_public_keys=trusted_keys(
            transfer.trusted_public_keys, [store, *others], environment
        )
        if transfer.check_sigs
        else None,
    )
