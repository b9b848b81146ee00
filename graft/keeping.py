"""What keeps new roots from the garbage collector: links, and a profile's generation."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from graft.errors import ProfileError, RootLinkError, UsageError
from graft.formats.store_path import StorePath
from graft.provenance import Place
from graft.store.api import RootedTarget, Target
from graft.store.profile import Profile


class RootKeeping:
    """Links and a profile that are to keep the new roots, checked before anything is done."""

    def __init__(
        self,
        target: Target,
        roots: Sequence[StorePath],
        links: Sequence[str],
        profile: str | None,
    ) -> None:
        self._roots = roots
        self._links = _root_links(links, roots)
        self._profile = profile
        self._target: RootedTarget | None = None
        if not self:
            return
        if not isinstance(target, RootedTarget):
            raise UsageError(
                f"the cache '{target.url}' has no roots and no profiles: leave out --add-root and "
                "--profile, and make them where its paths are copied to"
            )
        self._target = target
        for link in self._links:
            target.check_root_link(link)
        if profile is not None:
            if len(roots) != 1:
                raise ProfileError(
                    f"{len(roots)} roots were given for the profile '{profile}': a generation has "
                    "one",
                    path=profile,
                )
            target.check_profile(profile)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._links) or self._profile is not None

    def keep(self, new_roots: Mapping[StorePath, StorePath]) -> list[Place]:
        """Makes the links, and the profile's generation, and says where they are."""
        if self._target is None:
            return []
        places = []
        for link, root in zip(self._links, self._roots, strict=False):
            self._target.add_root(link, new_roots[root])
            places.append(
                Place(kind="link", link=os.path.abspath(link), root=root, new_root=new_roots[root])
            )
        if self._profile is not None:
            root = self._roots[0]
            self._target.switch_profile(self._profile, new_roots[root])
            profile = Profile(self._profile, self._target.store_dir)
            places.append(
                Place(
                    kind="profile",
                    link=profile.path,
                    root=root,
                    new_root=new_roots[root],
                    generation=profile.current,
                )
            )
        return places


def _root_links(links: Sequence[str], roots: Sequence[StorePath]) -> list[str]:
    if len(links) == 1:
        return [links[0], *(f"{links[0]}-{number}" for number in range(2, len(roots) + 1))]
    if links and len(links) != len(roots):
        raise RootLinkError(
            f"{len(links)} root links were given for {len(roots)} roots: give one for each, or one "
            "that is numbered",
            links=list(links),
        )
    return list(links)
