"""The places that keep new roots from the garbage collector: links, and generations of profiles."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graft.errors import ProfileError, RootLinkError, UsageError
from graft.formats.store_path import StorePath
from graft.machine.record import PlaceKind, PlaceRecord
from graft.machine.status import leads_now
from graft.store.api import RootedTarget, Target
from graft.store.roots.profile import Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class RootPlace:
    """A profile, or a link that is a root of the garbage collector, for a grafted root.

    Attributes:
        link: its path.
        root: the root to be grafted.
    """

    kind: PlaceKind
    link: str
    root: StorePath


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where new roots are put, so that no collector deletes them, and why.

    Attributes:
        root_links: links to be made to the new roots, as many as there are roots, or one that is
            numbered (`LINK`, `LINK-2`, ...), as nix-store does.
        profile: gets the new root as its current generation; only for one root.
        places: profiles and links that lead to a root already, and get its grafted root.
        note: why, for the record of grafts.
        recorded: whether the graft is written down; a comparison only tries one.
    """

    root_links: tuple[str, ...] = ()
    profile: str | None = None
    places: tuple[RootPlace, ...] = ()
    note: str | None = None
    recorded: bool = True


class RootKeeping:
    """Links and profiles that are to keep the new roots, checked before anything is done.

    Args:
        target: where the new roots will be.
        roots: the roots to be grafted.
        placement: where they are put.

    Attributes:
        passed: the places that led to something else in the end, and stay unchanged.
    """

    def __init__(self, target: Target, roots: Sequence[StorePath], placement: Placement) -> None:
        profile = placement.profile
        self._places = [*_root_links(placement.root_links, roots), *placement.places]
        self._turned = frozenset(placement.places)
        self.passed: list[RootPlace] = []
        self._target: RootedTarget | None = None
        if not self._places and profile is None:
            return
        if not isinstance(target, RootedTarget):
            raise UsageError(
                f"the cache '{target.url}' has no roots and no profiles: leave out --add-root and "
                "--profile, and make them where its paths are copied to"
            )
        self._target = target
        if profile is not None:
            if len(roots) != 1:
                raise ProfileError(
                    f"{len(roots)} roots were given for the profile '{profile}': a generation has "
                    "one",
                    path=profile,
                )
            self._places.append(RootPlace(kind="profile", link=profile, root=roots[0]))
        for place in self._places:
            if place.kind == "profile":
                target.check_profile(place.link)
            else:
                target.check_root_link(place.link)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._places)

    @property
    def originals(self) -> set[StorePath]:
        """The roots to which `ungraft` leads places back: all but the ones of links that are made
        anew.
        """
        return {place.root for place in self._places if not _is_new(place)}

    def keep(self, new_roots: Mapping[StorePath, StorePath]) -> list[PlaceRecord]:
        """Makes the links, and the profiles' generations, and says where they are."""
        if self._target is None:
            return []
        kept = []
        for place in self._places:
            new_root = new_roots[place.root]
            # A link that another program, such as nixos-rebuild, has switched meanwhile is not to
            # be switched back.
            if place in self._turned and place.root not in leads_now(
                place.kind, place.link, self._target.store_dir
            ):
                self.passed.append(place)
                continue
            link, generation, made = os.path.abspath(place.link), None, _is_new(place)
            if place.kind == "profile":
                self._target.switch_profile(place.link, new_root)
                profile = Profile(place.link, self._target.store_dir)
                link, generation = profile.path, profile.current
            else:
                self._target.add_root(place.link, new_root)
            kept.append(
                PlaceRecord(
                    kind=place.kind,
                    link=link,
                    root=place.root,
                    new_root=new_root,
                    generation=generation,
                    made=made,
                )
            )
        return kept


def _is_new(place: RootPlace) -> bool:
    """Whether a place is a link that is not there yet."""
    return place.kind == "link" and not os.path.lexists(place.link)


def _root_links(links: Sequence[str], roots: Sequence[StorePath]) -> list[RootPlace]:
    if not links:
        return []
    if len(links) == 1:
        links = [links[0], *(f"{links[0]}-{number}" for number in range(2, len(roots) + 1))]
    if len(links) != len(roots):
        raise RootLinkError(
            f"{len(links)} root links were given for {len(roots)} roots: give one for each, or one "
            "that is numbered",
            links=list(links),
        )
    return [
        RootPlace(kind="link", link=link, root=root)
        for link, root in zip(links, roots, strict=True)
    ]
