"""The texts with which Nix registers paths, written from what is registered: held against its own.

Source: Store::makeValidityRegistration in src/libstore/store-api.cc of Nix. `nix-store --dump-db`
writes two more lines of each path than exportReferencesGraph: SHA-256 and size of its NAR.
"""

from __future__ import annotations

from collections.abc import Iterable

from graft.formats.derivations.references_graph import GraphNode
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import PathInfo


def print_registrations(infos: Iterable[PathInfo], store_dir: StoreDir) -> str:
    """What `nix-store --dump-db` prints of a store."""
    return "".join(
        f"{store_dir.path(info.path)}\n{info.nar_hash.hex()}\n{info.nar_size}\n"
        + _end(info.deriver, sorted(info.references), store_dir)
        for info in sorted(infos, key=lambda info: info.path)
    )


def print_graph(nodes: Iterable[GraphNode], store_dir: StoreDir) -> str:
    """A references graph, with the derivers that are known."""
    return "".join(
        f"{store_dir.path(node.path)}\n" + _end(node.deriver, node.references, store_dir)
        for node in nodes
    )


def _end(deriver: StorePath | None, references: Iterable[StorePath], store_dir: StoreDir) -> str:
    full = [store_dir.path(reference) for reference in references]
    lines = ["" if deriver is None else store_dir.path(deriver), str(len(full)), *full]
    return "".join(f"{line}\n" for line in lines)
