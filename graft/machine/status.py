"""The standing of grafts: the places where they are in force, and the roots that keep them.

The record has the history; the profiles, links and registered references have the present state. A
place is judged by the paths that its target leads to, however it came there: by graft, nix-env or
nixos-rebuild.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from graft.formats.store_path import StoreDir, StorePath
from graft.kernel.tree.symlink import led_to
from graft.machine.record import GraftRecord, PlaceKind, PlaceRecord
from graft.machine.succession import Succession, successions
from graft.store.local import LocalStore
from graft.store.roots.profile import Profile

State = Literal["in-force", "both", "undone", "replaced", "gone"]
"""Whether a place leads to the graft, to the graft and to OLD, to OLD only, to neither of them, or
nowhere.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceNow:
    """A place of a graft, in its present state.

    Attributes:
        place: as it was recorded last.
        state: the state of its target.
        path: that path.
        generation: the profile's current one.
        exactly: whether it leads to the very root the graft made.
    """

    place: PlaceRecord
    state: State
    path: StorePath | None
    generation: int | None
    exactly: bool

    @property
    def holds_graft(self) -> bool:
        """Whether it leads to the graft, with or without OLD."""
        return self.state in {"in-force", "both"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A graft as it stands, with the ones that it has superseded.

    Attributes:
        succession: these grafts.
        places: where they were put, each once.
        keep_originals: the garbage collector roots that lead to rewritten or replaced paths.
        keep_grafts: the garbage collector roots that lead to new paths.
        valid: the paths that were made and are in the store.
        bytes: the room of the new paths on disk, without the files shared with the originals.
    """

    succession: Succession
    places: tuple[PlaceNow, ...]
    keep_originals: Mapping[str, StorePath]
    keep_grafts: Mapping[str, StorePath]
    valid: frozenset[StorePath]
    bytes: int

    @property
    def graft(self) -> GraftRecord:
        """The graft that stands for all."""
        return self.succession.last

    @property
    def state(self) -> State:
        """The state of its places, `undone` if one is undone; without places, the state of its
        paths.
        """
        states = [now.state for now in self.places]
        for state in ("undone", "both", "in-force", "replaced"):
            if state in states:
                return state
        return "in-force" if not states and self.keep_grafts else "gone"


def standing_of(
    store: LocalStore, grafts: Sequence[GraftRecord], known: Sequence[GraftRecord] | None = None
) -> list[Standing]:
    """The standing of each of some grafts, which were not taken back.

    Args:
        store: in which they were made.
        grafts: all that are in its record and were not taken back: one may stand upon another.
        known: all that are in its record; a path that was made of a graft's paths is the graft's.
    """
    roots = store.roots()
    others = grafts if known is None else known
    return [_standing(store, one, others, roots) for one in successions(grafts)]


class GraftReach:
    """The paths that lead to a graft, and to the OLDs that it replaces.

    Args:
        succession: the graft.
        known: all grafts of the record: a path may have been made anew from a graft's path, or
            an OLD from another path.
    """

    def __init__(
        self, store: LocalStore, succession: Succession, known: Sequence[GraftRecord]
    ) -> None:
        self._store = store
        self._succession = succession
        self._known = sorted(known, key=lambda graft: graft.time)

    @cached_property
    def to_graft(self) -> set[StorePath]:
        """The valid paths that lead to a path of the graft, and so to NEW; later grafts may have
        made both anew.
        """
        olds = self._succession.replacements.keys()
        news = set(self._succession.replacements.values())
        own = {new for graft in self._succession.grafts for new in graft.rewrites.values()}
        for graft in self._known:
            own |= {new for old, new in graft.rewrites.items() if old in own}
            moved = {**graft.rewrites, **graft.replacements}
            news |= {new for old, new in moved.items() if old in news and new not in olds}
        fixed = leads_to(self._store, news)
        return leads_to(self._store, own & fixed) | (self._succession.new_roots & fixed)

    @cached_property
    def _to_olds(self) -> dict[StorePath, set[StorePath]]:
        """The paths that lead to each OLD, or to a path that was made into it."""
        found = {}
        for old in self._succession.replacements:
            same = {old}
            for graft in reversed(self._known):
                same |= {path for path, new in graft.rewrites.items() if new in same}
            found[old] = leads_to(self._store, same)
        return found

    @cached_property
    def _kept(self) -> set[StorePath]:
        """The OLDs that the grafted roots themselves lead to: below a cutoff, or allowed."""
        last = set(self._succession.last.roots.values())
        return {old for old, paths in self._to_olds.items() if not last.isdisjoint(paths)}

    def state(self, path: StorePath | None) -> State:
        """The state of a place that leads to a path."""
        if path is None:
            return "gone"
        olds = {old for old, paths in self._to_olds.items() if path in paths}
        if path in self.to_graft:
            return "both" if olds - self._kept else "in-force"
        return "undone" if olds else "replaced"


def leads_to(store: LocalStore, paths: Iterable[StorePath]) -> set[StorePath]:
    """The valid ones of some paths, and all that lead to them."""
    found: set[StorePath] = set()
    level = set(store.path_infos(paths))
    while level:
        found |= level
        referrers = store.referrers(level).values()
        level = {path for paths in referrers for path in paths} - found
    return found


def _standing(
    store: LocalStore,
    succession: Succession,
    known: Sequence[GraftRecord],
    roots: Mapping[str, StorePath],
) -> Standing:
    reach = GraftReach(store, succession, known)
    originals = [*succession.rewrites, *succession.replacements]
    to_originals = leads_to(store, originals)
    to_grafts = leads_to(store, succession.rewrites.values())
    places = []
    for place in _places(succession):
        path, generation = leads_now(place.kind, place.link, store.store_dir)
        places.append(
            PlaceNow(
                place=place,
                state=reach.state(path),
                path=path,
                generation=generation,
                exactly=path in succession.new_roots,
            )
        )
    valid = frozenset(store.path_infos(succession.rewrites.values()))
    return Standing(
        succession=succession,
        places=tuple(places),
        keep_originals={link: path for link, path in roots.items() if path in to_originals},
        keep_grafts={link: path for link, path in roots.items() if path in to_grafts},
        valid=valid,
        bytes=_bytes_beyond(store, succession, valid),
    )


def _places(succession: Succession) -> Iterator[PlaceRecord]:
    """Each place as it was recorded last; a link that one graft has made was not there before."""
    last: dict[tuple[PlaceKind, str], PlaceRecord] = {}
    for graft in succession.grafts:
        for place in graft.places:
            before = last.get((place.kind, place.link))
            made = place.made or (before is not None and before.made)
            last[place.kind, place.link] = replace(place, made=made)
    yield from last.values()


def leads_now(
    kind: PlaceKind, link: str, store_dir: StoreDir
) -> tuple[StorePath | None, int | None]:
    """The present target of a profile or a link, and a profile's current generation."""
    if kind == "link":
        return led_to(link, store_dir), None
    profile = Profile(link, store_dir)
    generation = profile.current
    if generation is None:
        return None, None
    return led_to(f"{profile.path}-{generation}-link", store_dir), generation


def _bytes_beyond(store: LocalStore, succession: Succession, valid: frozenset[StorePath]) -> int:
    """The room of new paths on disk, in files that are not shared with their originals."""
    total = 0
    counted: set[int] = set()
    for old, new in succession.rewrites.items():
        if new in valid:
            shared = {entry.st_ino for entry in _files(store.tree(old))}
            for entry in _files(store.tree(new)):
                if entry.st_ino not in shared and entry.st_ino not in counted:
                    counted.add(entry.st_ino)
                    total += entry.st_blocks * 512
    return total


def _files(tree: str) -> Iterator[os.stat_result]:
    """Everything in a tree that is there, directories too."""
    try:
        yield os.lstat(tree)
    except FileNotFoundError:
        return
    waiting = [tree] if os.path.isdir(tree) and not os.path.islink(tree) else []
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                yield entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
