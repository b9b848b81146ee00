"""The originals of grafts, kept for the way back: roots of the collector's that are graft's own.

They are links in the directory `graft-originals` below the state directory's `gcroots`; for a user
who may not write there, below `$XDG_STATE_HOME/graft`. Nothing runs from them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Final

from graft.errors import RootLinkError
from graft.formats.store_path import StorePath
from graft.kernel.tree.symlink import led_to
from graft.machine.record import Provenance
from graft.store.api import RootedTarget
from graft.store.location import Location

DIRECTORY: Final = "graft-originals"
"""The name of the directories. No link in one is in force."""


def is_kept_original(link: str) -> bool:
    """Whether a root is one of graft's own."""
    return os.path.basename(os.path.dirname(link)) == DIRECTORY


class Originals:
    """The kept originals of a store's grafts.

    Args:
        location: the store's location.
        environment: XDG_STATE_HOME and HOME say where this user's own ones are.
    """

    def __init__(self, location: Location, environment: Mapping[str, str]) -> None:
        self._location = location
        own = os.path.dirname(Provenance(location, environment).own)
        self._shared = os.path.join(location.state_dir, "gcroots", DIRECTORY)
        self._own = os.path.join(own, DIRECTORY)

    def keep(self, target: RootedTarget, graft: str, originals: Iterable[StorePath]) -> None:
        """Keeps the originals of a graft from the collector.

        Args:
            target: where they are.
            graft: the name of the graft, without a number.

        Raises:
            RootLinkError: a root cannot be made.
        """
        for original in sorted(set(originals)):
            directory = self._directory()
            try:
                os.makedirs(directory, exist_ok=True)
            except OSError as error:
                raise RootLinkError(
                    f"cannot make the directory '{directory}', which is to keep the originals: "
                    f"{error.strerror or ''}",
                    path=directory,
                ) from error
            target.add_root(os.path.join(directory, f"{graft}-{original}"), original)

    def _directory(self) -> str:
        place = self._shared
        while not os.path.lexists(place):
            place = os.path.dirname(place)
        return self._shared if os.access(place, os.W_OK) else self._own

    def kept(self, grafts: Iterable[str]) -> dict[str, StorePath]:
        """The kept originals of some grafts, by their links."""
        names = {f"{name.partition('-')[0]}-" for name in grafts}  # a number says nothing of roots
        found = {}
        for directory in (self._shared, self._own):
            try:
                listed = sorted(os.listdir(directory))
            except OSError:
                continue  # no original was kept there
            for name in listed:
                link = os.path.join(directory, name)
                path = led_to(link, self._location.store_dir)
                if path is not None and any(name == f"{one}{path}" for one in names):
                    found[link] = path
        return found

    def forget(self, grafts: Iterable[str]) -> dict[str, StorePath]:
        """Lets the collector have the originals of some grafts.

        Returns:
            The removed links, and the originals that they kept.

        Raises:
            RootLinkError: a link cannot be removed.
        """
        found = self.kept(grafts)
        for link in found:
            try:
                os.unlink(link)
            except OSError as error:
                raise RootLinkError(
                    f"cannot remove the root '{link}': {error.strerror or ''}", path=link
                ) from error
        return found
