"""The way back from a graft: its kept originals, their cost, and whether they are still in use."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from graft.formats.store_path import StorePath
from graft.machine.roots import MachineRoots
from graft.machine.status import leads_to
from graft.machine.succession import Succession
from graft.plan.closure import Closure
from graft.store.local import LocalStore


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptOriginal:
    """An original that a root of graft's own keeps.

    Attributes:
        link: that root.
        path: the original.
        time: when it was kept first, in seconds since 1970.
        bytes: the NARs that the collector could have without it: of no other root's closure. Files
            that others share are counted, so it is at most.
        used_by: the places of roots in force that lead to the original, and of processes that hold
            a part of it that was made anew.
    """

    link: str
    path: StorePath
    time: int
    bytes: int
    used_by: tuple[str, ...]


def kept_originals(
    store: LocalStore,
    succession: Succession,
    kept: Mapping[str, StorePath],
    machine: MachineRoots,
) -> list[KeptOriginal]:
    """The kept originals of a graft.

    Args:
        kept: the originals by their links.
        machine: all roots of the store.
    """
    found = []
    others = {path for link, path in store.roots().items() if link not in kept}
    infos = Closure.of(store, others).infos.keys() if kept else set()
    for link, path in kept.items():
        own = Closure.of(store, [path]).infos if store.path_infos([path]) else {}
        parts = leads_to(store, own.keys() & succession.rewrites.keys())
        using = leads_to(store, [path])
        found.append(
            KeptOriginal(
                link=link,
                path=path,
                time=int(os.lstat(link).st_mtime),
                bytes=sum(info.nar_size for each, info in own.items() if each not in infos),
                used_by=tuple(
                    sorted(
                        root.place
                        for root in machine.roots
                        if root.in_force
                        and not (using if root.lasting else parts).isdisjoint(root.paths)
                    )
                ),
            )
        )
    return found
