"""Profiles: a link to the current generation, and beside it a link for each generation.

Source: Nix manual, "Profiles"; src/libstore/profiles.cc of Nix. Of a profile `P` generation 7 is
`P-7-link`, a symlink to a store path, and `P` is a symlink to that link. Nix locks `P.lock` as it
locks store paths.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from graft.errors import ProfileError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.locks import path_locks
from graft.store.roots import add_root, replace_symlink


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Generation:
    """One generation of a profile.

    Attributes:
        number: from 1; never used twice while it exists.
        link: the absolute path of its link.
    """

    number: int
    link: str


class Profile:
    """A profile, which need not exist yet.

    Args:
        path: its link, or a link to that, such as ~/.nix-profile.
        store_dir: no link is followed into the store.
    """

    def __init__(self, path: str, store_dir: StoreDir) -> None:
        self._store_dir = store_dir
        self.path = os.path.abspath(path)
        while os.path.islink(self.path):
            target = os.path.join(os.path.dirname(self.path), os.readlink(self.path))
            own = os.path.dirname(target) == os.path.dirname(self.path) and self._number(target)
            if own or store_dir.contains(target) or not os.path.islink(target):
                break
            self.path = os.path.normpath(target)

    def _number(self, link: str) -> int | None:
        """The number of the generation whose link this is, if it is one of this profile's."""
        name = re.escape(os.path.basename(self.path))
        match = re.fullmatch(rf"{name}-([0-9]+)-link", os.path.basename(link))
        return int(match[1]) if match else None

    def generations(self) -> list[Generation]:
        """Its generations, oldest first."""
        directory = os.path.dirname(self.path)
        return sorted(
            Generation(number=number, link=os.path.join(directory, name))
            for name in os.listdir(directory)
            if (number := self._number(name)) is not None
        )

    def check(self) -> None:
        """Makes sure that a generation could be added; changes nothing.

        Raises:
            ProfileError: something else is there, or the directory may not be written.
        """
        directory = os.path.dirname(self.path)
        if os.path.lexists(self.path) and not os.path.islink(self.path):
            raise ProfileError(f"'{self.path}' is no profile: it is not a symlink", path=self.path)
        if not os.path.isdir(directory):
            raise ProfileError(
                f"there is no directory '{directory}' for the profile", path=self.path
            )
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ProfileError(f"you may not write the directory '{directory}'", path=self.path)

    def switch(self, path: StorePath, state_dir: str) -> Generation:
        """Makes a path the current generation, at once.

        The newest generation is taken again if it is this path already, as Nix does. The
        generation's link is a garbage collector root before the profile leads to it.

        Args:
            state_dir: profiles below its `profiles` are roots by themselves.
        """
        with path_locks([self.path]):
            generations = self.generations()
            full = self._store_dir.path(path)
            if generations and os.readlink(generations[-1].link) == full:
                generation = generations[-1]
            else:
                number = generations[-1].number + 1 if generations else 1
                generation = Generation(number=number, link=f"{self.path}-{number}-link")
                if self.path.startswith(f"{state_dir}/profiles/"):
                    replace_symlink(generation.link, full)
                else:
                    add_root(generation.link, path, self._store_dir, state_dir)
            replace_symlink(self.path, os.path.basename(generation.link))
        return generation
