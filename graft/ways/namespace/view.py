"""The outside path of a path in a namespace."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

_MOST_LINKS = 40  # as many as the kernel follows


class View:
    """A namespace's file system, as far as it differs from the machine's.

    Args:
        places: directories and files of the namespace, by their full paths there, and where on
            the machine each lies; a path outside of all these has the same place on the machine.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self.places = dict(places)
        self._directories: dict[str, str] = {}

    def outside(self, path: str) -> str:
        """Where on the machine the file lies to which an absolute path of the namespace leads.

        All symlinks are followed, as the namespace would follow them; directories on the way are
        taken to stay directories. For a path that leads to nothing, the answer is a path that leads
        to nothing.
        """
        directory, _, name = path.rpartition("/")
        inside = self._directories.get(directory)
        if inside is None:
            inside = self._followed("", directory)
            # Only directories: nothing leads on from others.
            if os.path.isdir(self._place(inside or "/")):
                self._directories[directory] = inside
        return self._place(self._followed(inside, name) or "/")

    def resolved(self, path: str) -> str:
        """The absolute path of the namespace, without symlinks, to which one leads."""
        return self._followed("", path) or "/"

    def _followed(self, inside: str, path: str) -> str:
        """The path without symlinks to which one leads from a directory without symlinks."""
        waiting, links = path.split("/")[::-1], 0
        while waiting:
            part = waiting.pop()
            if part in ("", "."):
                continue
            if part == "..":
                if not os.path.isdir(self._place(inside or "/")):
                    return f"{inside}/.."
                inside = inside.rpartition("/")[0]
                continue
            inside = f"{inside}/{part}"
            target = _target(self._place(inside))
            if target is None:
                continue
            if links == _MOST_LINKS:
                return f"{inside}/{part}"
            links += 1
            inside = "" if target.startswith("/") else inside.rpartition("/")[0]
            waiting += target.split("/")[::-1]
        return inside

    def is_directory(self, path: str) -> bool:
        """Whether a path of the namespace leads to a directory."""
        return os.path.isdir(self.outside(path))

    def has_program(self, name: str, search_path: str) -> bool:
        """Whether there is a file that a shell would try to start.

        Args:
            name: a path, relative to the working directory, or a word to be looked up.
            search_path: PATH.
        """
        directories = [""] if "/" in name else search_path.split(os.pathsep)
        for directory in directories:
            if self.exists(os.path.join(os.getcwd(), directory, name)):
                return True
        return False

    def exists(self, path: str) -> bool:
        """Whether a path of the namespace leads to anything."""
        return os.path.exists(self.outside(path))

    def _place(self, inside: str) -> str:
        """Where a path lies, the part of it that a place covers being replaced."""
        end = len(inside)
        while end > 0:
            place = self.places.get(inside[:end])
            if place is not None:
                return place + inside[end:]
            end = inside.rfind("/", 0, end)
        return inside


def _target(place: str) -> str | None:
    """The target of a symlink; None for everything else."""
    try:
        if stat.S_ISLNK(os.lstat(place).st_mode):
            return os.readlink(place)
    except OSError:
        pass
    return None
