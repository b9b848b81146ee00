"""The standing of grafts: the places where they are in force, and the roots that keep them.

The record has the history; the profiles, links and registered references have the present state. A
profile is asked for the generation it leads to, however it came there: by graft, nix-env or
nixos-rebuild.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from graft.formats.store_path import StoreDir, StorePath
from graft.kernel.tree.symlink import led_to
from graft.machine.record import GraftRecord, PlaceKind, PlaceRecord
from graft.store.local import LocalStore
from graft.store.roots.profile import Profile

State = Literal["in-force", "undone", "replaced", "gone"]
"""Whether a place leads to the graft, to OLD again, to neither of them, or nowhere."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A graft as it stands.

    Attributes:
        graft: its record.
        places: where it was put, each once.
        keep_originals: the garbage collector roots that lead to rewritten or replaced paths.
        keep_grafts: the garbage collector roots that lead to new paths.
        valid: the paths that were made and are in the store.
        bytes: the room of the new paths on disk, without the files shared with the originals.
    """

    graft: GraftRecord
    places: tuple[PlaceNow, ...]
    keep_originals: Mapping[str, StorePath]
    keep_grafts: Mapping[str, StorePath]
    valid: frozenset[StorePath]
    bytes: int

    @property
    def state(self) -> State:
        """The state of its places, `undone` if one is undone; without places, the state of its
        paths.
        """
        states = [now.state for now in self.places]
        for state in ("undone", "in-force", "replaced"):
            if state in states:
                return state
        return "in-force" if not states and self.keep_grafts else "gone"


def standing_of(store: LocalStore, grafts: Sequence[GraftRecord]) -> list[Standing]:
    """The standing of each of some grafts, which were not taken back.

    Args:
        store: in which they were made.
        grafts: all that are in its record: one may stand upon another.
    """
    roots = store.roots()
    made_by = {new: (graft, old) for graft in grafts for old, new in graft.roots.items()}
    return [_standing(store, graft, made_by, roots) for graft in grafts]


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
    graft: GraftRecord,
    made_by: Mapping[StorePath, tuple[GraftRecord, StorePath]],
    roots: Mapping[str, StorePath],
) -> Standing:
    to_grafts = leads_to(store, graft.rewrites.values())
    to_originals = leads_to(store, [*graft.rewrites, *graft.replacements])
    to_new_roots = leads_to(store, graft.roots.values())
    to_old = leads_to(store, graft.replacements)
    last = {(place.kind, place.link): place for place in graft.places}
    places = []
    for place in last.values():
        path, generation = leads_now(place.kind, place.link, store.store_dir)
        state: State
        if path is None:
            state = "gone"
        elif path in to_new_roots or any(one is graft for one in _grafts_below(path, made_by)):
            state = "in-force"
        else:
            state = "undone" if path in to_old else "replaced"
        places.append(
            PlaceNow(
                place=place,
                state=state,
                path=path,
                generation=generation,
                exactly=path in graft.roots.values(),
            )
        )
    valid = frozenset(store.path_infos(graft.rewrites.values()))
    return Standing(
        graft=graft,
        places=tuple(places),
        keep_originals={link: path for link, path in roots.items() if path in to_originals},
        keep_grafts={link: path for link, path in roots.items() if path in to_grafts},
        valid=valid,
        bytes=_bytes_beyond(store, graft, valid),
    )


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


def _grafts_below(
    path: StorePath, made_by: Mapping[StorePath, tuple[GraftRecord, StorePath]]
) -> Iterator[GraftRecord]:
    """The grafts a root came from, one upon the other."""
    seen = set()
    while path in made_by and path not in seen:
        seen.add(path)
        graft, path = made_by[path]
        yield graft


def _bytes_beyond(store: LocalStore, graft: GraftRecord, valid: frozenset[StorePath]) -> int:
    """The room of new paths on disk, in files that are not shared with their originals."""
    total = 0
    counted: set[int] = set()
    for old, new in graft.rewrites.items():
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
