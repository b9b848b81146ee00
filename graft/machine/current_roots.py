"""All that is in force on a machine and leads to some paths: the places one graft is to turn.

A place is turned by its owner. Not even root writes where another user may: that user could put a
link to somewhere else there meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from graft.errors import ProfileError, RootLinkError
from graft.formats.store_path import StorePath
from graft.machine.places import RootPlace
from graft.machine.roots import Root
from graft.machine.status import leads_to
from graft.store.api import RootedTarget
from graft.store.local import LocalStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Everywhere:
    """The roots and places in force that lead to some paths.

    Attributes:
        roots: the paths to be grafted, sorted.
        places: the profiles and links that this user can turn to the grafted roots.
        left: the other places, and the reasons why they stay unchanged.
    """

    roots: tuple[StorePath, ...]
    places: tuple[RootPlace, ...]
    left: Mapping[str, str]


def find_everywhere(
    store: LocalStore,
    target: RootedTarget,
    olds: Collection[StorePath],
    current: Iterable[Root],
) -> Everywhere:
    """Finds the roots in force that lead to some paths; a root of these very paths is left out.

    These are the current generations of all profiles and all other links that are roots of the
    collector. Running or booted systems, containers and specialisations hang on one of these, or
    are told of.

    Args:
        target: where links and profiles are made; the store, or the daemon that writes into it.
        olds: the paths.
        current: the roots in force on the machine.
    """
    current = list(current)
    with_old = leads_to(store, olds) - set(olds)
    places: dict[RootPlace, None] = {}
    left: dict[str, str] = {}
    roots: set[StorePath] = set()
    hanging = []
    for root in current:
        if root.paths[0] not in with_old:
            continue
        managed = _managed(root, current)
        if managed is not None:
            left[root.place] = managed
            continue
        if root.kind not in {"generation", "link"}:
            hanging.append(root)
            continue
        place = _place(root)
        roots.add(place.root)
        why = _why_not(root, place, store, target)
        if why is None:
            places[place] = None
        else:
            left[place.link] = why
    for root in hanging:
        if leads_to(store, root.paths).isdisjoint(roots):
            left[root.place] = "no profile leads there: graft it by itself, and activate that"
    return Everywhere(roots=tuple(sorted(roots)), places=tuple(places), left=left)


def _managed(root: Root, current: Iterable[Root]) -> str | None:
    """The remedy for a link that a program makes, with other things that hold the path; None for
    any other link.
    """
    parts = root.place.split("/")
    if parts[-1] == "current-home" and "gcroots" in parts:
        # home-manager's link keeps the files that links in the home directory lead to.
        profiles = [
            one.profile for one in current if one.paths == root.paths and one.profile is not None
        ]
        where = profiles[0] if profiles else "the grafted generation of home-manager"
        return f"home-manager's links go with it: run its activation, '{where}/activate'"
    if ".direnv" in parts:
        # The paths stand in a file of variables beside the link, which no root leads to.
        directory = "/".join(parts[: parts.index(".direnv")]) or "/"
        return (
            "direnv's shell has its paths in a file: build NEW into the shell's derivation, and "
            f"run 'direnv reload' in '{directory}'"
        )
    return None


def _place(root: Root) -> RootPlace:
    if root.profile is not None:
        return RootPlace(kind="profile", link=root.profile, root=root.paths[0])
    return RootPlace(kind="link", link=root.place, root=root.paths[0])


def _why_not(root: Root, place: RootPlace, store: LocalStore, target: RootedTarget) -> str | None:
    """Why a place cannot be turned by this user; None if it can."""
    try:
        leads = os.readlink(root.place)
        owner, *parents = [os.lstat(one).st_uid for one in _with_parents(root.place)]
    except OSError as error:
        return error.strerror or str(error)
    if leads != store.store_dir.path(place.root):
        return f"it leads inside '{store.store_dir.path(place.root)}'"
    if owner != os.geteuid() or set(parents) - {0, owner}:
        return "it belongs to another user; that user may run this command too"
    try:
        if place.kind == "profile":
            target.check_profile(place.link)
        else:
            target.check_root_link(place.link)
    except (ProfileError, RootLinkError) as error:
        return str(error)
    return None


def _with_parents(link: str) -> Iterator[str]:
    """A link, and all directories that it is in."""
    yield link
    directory = os.path.realpath(os.path.dirname(link))
    while True:
        yield directory
        if directory == "/":
            return
        directory = os.path.dirname(directory)
