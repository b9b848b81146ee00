"""A graft taken back: profiles and links lead to the originals again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from graft.errors import RootLinkError, UngraftError
from graft.formats.store_path import StorePath
from graft.machine.originals import Originals
from graft.machine.record import GraftRecord, Provenance
from graft.machine.roots import current_roots
from graft.machine.status import GraftReach, PlaceNow, Standing, leads_to, standing_of
from graft.store.api import RootedTarget
from graft.store.local import LocalStore
from graft.store.roots.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ungrafted:
    """The result of taking a graft back.

    Attributes:
        grafts: its record, and the records of the grafts that it has superseded; oldest first.
        restored: the places that lead to an original again, and which.
        removed: the links that the graft had made, and that are gone again.
        left: the places that did not lead to the graft's own root, and stay unchanged.
        deleted: the links of the generations that were deleted.
        kept_by: the garbage collector roots that still lead to grafted paths.
        in_force: the roots in force that still lead to the graft; it is not taken back then.
        forgotten: the roots that kept its originals, and are gone.
    """

    grafts: tuple[GraftRecord, ...]
    restored: dict[str, StorePath]
    removed: tuple[str, ...]
    left: tuple[PlaceNow, ...]
    deleted: tuple[str, ...]
    kept_by: dict[str, StorePath]
    in_force: dict[str, StorePath]
    forgotten: dict[str, StorePath]


def ungraft(
    store: LocalStore,
    target: RootedTarget,
    provenance: Provenance,
    graft: GraftRecord,
    *,
    keep_generations: bool = False,
    environment: Mapping[str, str] | None = None,
    activate: Callable[[Mapping[str, StorePath]], object] = lambda _restored: None,
) -> Ungrafted:
    """Takes a graft back, wherever the record says that it was put, with all it has superseded.

    A profile goes to the newest generation that led to the original, or gets a new one. Links of
    roots are turned back, and a link that was made for the graft is removed. As long as something
    in force leads to the graft, the record says that it is in force.

    Args:
        store: in which it was made.
        target: the same, or the daemon that writes into it.
        keep_generations: leave the generations that lead to the graft, which keep it from the
            collector.
        environment: variables that say where a user's profiles are; the process's own if None.
        activate: is given the profiles that were restored, with their originals, before the roots
            in force are looked at.

    Raises:
        UngraftError: another graft stands upon it, or an original is not valid any more; nothing
            was changed.
        ProfileError, RootLinkError: this user may not.
    """
    environment = os.environ if environment is None else environment
    known = provenance.grafts()
    standings = standing_of(store, [one for one in known if one.ended is None], known)
    standing = next(
        one for one in standings if any(each.id == graft.id for each in one.succession.grafts)
    )
    succession = standing.succession
    _check_nothing_upon(standing, standings)
    back = [now for now in standing.places if now.holds_graft and now.exactly]
    target.protect({succession.original(now.path) for now in back if now.path is not None})
    restored = {now.place.link: _checked(store, target, standing, now) for now in back}
    removed = []
    for now in back:
        original = restored[now.place.link]
        if now.place.kind == "profile":
            _restore(now.place.link, original, target)
        elif now.place.made:
            _remove(now.place.link)
            removed.append(now.place.link)
            del restored[now.place.link]
        else:
            target.add_root(now.place.link, original)
    deleted: list[str] = []
    if not keep_generations:
        made = {store.store_dir.path(new) for new in succession.new_roots}
        for now in standing.places:
            if now.place.kind == "profile" and now.state != "gone":
                deleted += _delete_generations(now.place.link, made, store)
    profiles = {now.place.link for now in back if now.place.kind == "profile"}
    activate({link: path for link, path in restored.items() if link in profiles})
    in_force = _still_in_force(store, standing, standings, known, environment)
    forgotten: dict[str, StorePath] = {}
    if not in_force:
        for one in succession.grafts:
            provenance.end(one, int(time.time()))
        names = [one.id for one in succession.grafts]
        forgotten = Originals(store.location, environment).forget(names)
    to_grafts = leads_to(store, succession.rewrites.values())
    return Ungrafted(
        grafts=succession.grafts,
        restored=restored,
        removed=tuple(removed),
        left=tuple(now for now in standing.places if now not in back and now.state != "gone"),
        deleted=tuple(deleted),
        kept_by={link: path for link, path in store.roots().items() if path in to_grafts},
        in_force=in_force,
        forgotten=forgotten,
    )


def _checked(
    store: LocalStore, target: RootedTarget, standing: Standing, now: PlaceNow
) -> StorePath:
    """The original that a place gets back, once it is sure that the place can be turned.

    Raises:
        UngraftError: it is not valid any more.
        ProfileError, RootLinkError: this user may not.
    """
    assert now.path is not None
    original = standing.succession.original(now.path)
    if now.place.kind == "profile":
        target.check_profile(now.place.link)
    else:
        target.check_root_link(now.place.link)
    if not now.place.made and original not in store.path_infos([original]):
        full = store.store_dir.path(original)
        raise UngraftError(
            f"the original '{full}' is not in the store any more: build or copy it there first",
            path=full,
        )
    return original


def _check_nothing_upon(standing: Standing, standings: Sequence[Standing]) -> None:
    made, name = standing.succession.new_roots, standing.graft.id
    for upper in standings:
        roots = {root for graft in upper.succession.grafts for root in graft.roots}
        in_force = any(now.holds_graft for now in upper.places)
        if upper is not standing and in_force and not roots.isdisjoint(made):
            raise UngraftError(
                f"the graft '{upper.graft.id}' stands upon '{name}': take that one back first",
                graft=name,
                upon=upper.graft.id,
            )


def _still_in_force(
    store: LocalStore,
    standing: Standing,
    standings: Sequence[Standing],
    known: Sequence[GraftRecord],
    environment: Mapping[str, str],
) -> dict[str, StorePath]:
    """The roots in force that lead to a graft, but for the places of other grafts."""
    reach = GraftReach(store, standing.succession, known)
    others = {now.place.link for one in standings if one is not standing for now in one.places}
    own = {now.place.link for now in standing.places}
    return {
        root.profile or root.place: root.paths[0]
        for root in current_roots(store, environment)
        if root.paths[0] in reach.to_graft
        and not ((place := root.profile or root.place) in others and place not in own)
    }


def _restore(link: str, original: StorePath, target: RootedTarget) -> None:
    profile = Profile(link, target.store_dir)
    full = target.store_dir.path(original)
    numbers = [one.number for one in profile.generations() if one.target == full]
    if numbers:
        profile.switch_back(numbers[-1])
    else:
        target.switch_profile(link, original)


def _remove(link: str) -> None:
    try:
        os.unlink(link)
    except OSError as error:
        raise RootLinkError(
            f"cannot remove the link '{link}', which the graft has made: {error.strerror or ''}",
            path=link,
        ) from error


def _delete_generations(link: str, made: set[str], store: LocalStore) -> list[str]:
    deleted = Profile(link, store.store_dir).delete(
        lambda generations, current: {
            one.number for one in generations if one.target in made and one.number != current
        }
    )
    return [one.link for one in deleted]
