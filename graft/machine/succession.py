"""Grafts and their corrections: one that was made anew in its place counts as one with the former.

An output was forgotten, or NEW had a fault: the next graft of the same package goes into the same
places. Its originals are the first one's, however many lie between.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from graft.formats.store_path import StorePath
from graft.machine.record import GraftRecord


@dataclass(frozen=True)
class Succession:
    """Grafts of one package, each in the place of the one before.

    Attributes:
        grafts: the oldest first; at least one.
    """

    grafts: tuple[GraftRecord, ...]

    @property
    def last(self) -> GraftRecord:
        """The graft that stands for all."""
        return self.grafts[-1]

    @property
    def replacements(self) -> Mapping[StorePath, StorePath]:
        """All replacements; a later one's goes before."""
        return {old: new for graft in self.grafts for old, new in graft.replacements.items()}

    @property
    def rewrites(self) -> Mapping[StorePath, StorePath]:
        """Each path that was made anew, and its last new name."""
        return {old: new for graft in self.grafts for old, new in graft.rewrites.items()}

    @cached_property
    def new_roots(self) -> frozenset[StorePath]:
        """The grafted roots."""
        return frozenset(new for graft in self.grafts for new in graft.roots.values())

    def original(self, path: StorePath) -> StorePath:
        """The original of a grafted root, before the first graft that made it."""
        for graft in reversed(self.grafts):
            for old, new in graft.roots.items():
                if new == path:
                    path = old
                    break
        return path

    def is_named(self, name: str) -> bool:
        """Whether somebody who says `name` may mean one of these grafts."""
        return any(graft.is_named(name) for graft in self.grafts)


def successions(grafts: Sequence[GraftRecord]) -> list[Succession]:
    """Grafts that were not taken back, each with the ones that it has superseded.

    Args:
        grafts: in the order of their times.
    """
    found: list[list[GraftRecord]] = []
    for graft in _in_order(grafts):
        former = [one for one in found if any(_supersedes(graft, each) for each in one)]
        joined = [each for one in former for each in one]
        found = [one for one in found if one not in former] + [[*joined, graft]]
    return [Succession(tuple(one)) for one in found]


def _in_order(grafts: Sequence[GraftRecord]) -> list[GraftRecord]:
    """Grafts by their times; in one second, a graft that stands upon another is later."""
    ordered: list[GraftRecord] = []
    for graft in sorted(grafts, key=lambda one: one.time):
        above = [
            at
            for at, one in enumerate(ordered)
            if not one.roots.keys().isdisjoint(graft.roots.values()) and one.time == graft.time
        ]
        ordered.insert(min(above, default=len(ordered)), graft)
    return ordered


def _supersedes(later: GraftRecord, former: GraftRecord) -> bool:
    """Whether a graft has come into the place of another, for the same package."""
    if _packages(later).isdisjoint(_packages(former)):
        return False
    if later.places and former.places:
        places = ({(place.kind, place.link) for place in one.places} for one in (later, former))
        return not set.isdisjoint(*places)
    return not later.roots.keys().isdisjoint({*former.roots.keys(), *former.roots.values()})


def _packages(graft: GraftRecord) -> set[str]:
    return {old.package_name for old in graft.replacements}
