"""A graft taken back: profiles and links lead to the originals again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from graft.errors import UngraftError
from graft.formats.store_path import StorePath
from graft.machine.record import GraftRecord, Provenance
from graft.machine.status import PlaceNow, leads_to, standing_of
from graft.store.api import RootedTarget
from graft.store.local import LocalStore
from graft.store.roots.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ungrafted:
    """The result of taking a graft back.

    Attributes:
        graft: its record.
        restored: the places that lead to an original again, and which.
        left: the places that did not lead to the graft's own root, and stay unchanged.
        deleted: the links of the generations that were deleted.
        kept_by: the garbage collector roots that still lead to grafted paths.
    """

    graft: GraftRecord
    restored: dict[str, StorePath]
    left: tuple[PlaceNow, ...]
    deleted: tuple[str, ...]
    kept_by: dict[str, StorePath]


def ungraft(
    store: LocalStore,
    target: RootedTarget,
    provenance: Provenance,
    graft: GraftRecord,
    *,
    keep_generations: bool = False,
) -> Ungrafted:
    """Takes a graft back, wherever the record says that it was put.

    A profile goes to the newest generation that led to the original, or gets a new one. Links of
    roots are turned back.

    Args:
        store: in which it was made.
        target: the same, or the daemon that writes into it.
        keep_generations: leave the generations that lead to the graft, which keep it from the
            collector.

    Raises:
        UngraftError: another graft stands upon it, or an original is not valid any more; nothing
            was changed.
        ProfileError, RootLinkError: this user may not.
    """
    grafts = [one for one in provenance.grafts() if one.ended is None]
    standing = next(one for one in standing_of(store, grafts) if one.graft.id == graft.id)
    _check_nothing_upon(graft, grafts, store)
    back = [now for now in standing.places if now.state == "in-force" and now.exactly]
    target.protect(graft.roots)
    for now in back:
        _check_valid(store, _original(graft, now))
        if now.place.kind == "profile":
            target.check_profile(now.place.link)
        else:
            target.check_root_link(now.place.link)
    restored = {}
    for now in back:
        original = _original(graft, now)
        if now.place.kind == "profile":
            _restore(now.place.link, original, target)
        else:
            target.add_root(now.place.link, original)
        restored[now.place.link] = original
    deleted: list[str] = []
    if not keep_generations:
        made = {store.store_dir.path(new) for new in graft.roots.values()}
        for now in standing.places:
            if now.place.kind == "profile" and now.state != "gone":
                deleted += _delete_generations(now.place.link, made, store)
    provenance.end(graft, int(time.time()))
    to_grafts = leads_to(store, graft.rewrites.values())
    return Ungrafted(
        graft=graft,
        restored=restored,
        left=tuple(now for now in standing.places if now not in back and now.state != "gone"),
        deleted=tuple(deleted),
        kept_by={link: path for link, path in store.roots().items() if path in to_grafts},
    )


def _original(graft: GraftRecord, now: PlaceNow) -> StorePath:
    return next(old for old, new in graft.roots.items() if new == now.path)


def _check_valid(store: LocalStore, original: StorePath) -> None:
    if original not in store.path_infos([original]):
        full = store.store_dir.path(original)
        raise UngraftError(
            f"the original '{full}' is not in the store any more: build or copy it there first",
            path=full,
        )


def _check_nothing_upon(
    graft: GraftRecord, grafts: Sequence[GraftRecord], store: LocalStore
) -> None:
    for upper in standing_of(store, [one for one in grafts if one.id != graft.id]):
        if upper.state == "in-force" and not upper.graft.roots.keys().isdisjoint(
            graft.roots.values()
        ):
            raise UngraftError(
                f"the graft '{upper.graft.id}' stands upon '{graft.id}': take that one back first",
                graft=graft.id,
                upon=upper.graft.id,
            )


def _restore(link: str, original: StorePath, target: RootedTarget) -> None:
    profile = Profile(link, target.store_dir)
    full = target.store_dir.path(original)
    numbers = [one.number for one in profile.generations() if one.target == full]
    if numbers:
        profile.switch_back(numbers[-1])
    else:
        target.switch_profile(link, original)


def _delete_generations(link: str, made: set[str], store: LocalStore) -> list[str]:
    deleted = Profile(link, store.store_dir).delete(
        lambda generations, current: {
            one.number for one in generations if one.target in made and one.number != current
        }
    )
    return [one.link for one in deleted]
