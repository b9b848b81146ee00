"""The descriptors of the directories on the way down a tree, however deep it is."""

from __future__ import annotations

import os
from typing import Self

OPEN_LEVELS = 15  # directories held open besides the top

DIRECTORY_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class MovedDirectoryError(Exception):
    """A directory's parent is no longer the one it was reached from."""


class Descent:
    """The directories from a tree's top to the current innermost one, as descriptors.

    Only the top and the innermost few are open; the others are opened again through ".." on the
    way up, and must still be the directories they were. So neither the limit of open files nor the
    limit of a path's length bounds the depth. Closes the open ones when left as a context.
    """

    def __init__(self) -> None:
        self._levels: list[int | tuple[int, int]] = []  # a descriptor, or (device, inode) of closed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for level in self._levels:
            if isinstance(level, int):
                os.close(level)
        self._levels.clear()

    def __len__(self) -> int:
        """The number of directories from the top to the innermost, both included."""
        return len(self._levels)

    @property
    def top(self) -> int:
        """The descriptor of the tree's top."""
        level = self._levels[0]
        assert isinstance(level, int)
        return level

    @property
    def innermost(self) -> int:
        """The descriptor of the innermost directory."""
        level = self._levels[-1]
        assert isinstance(level, int)
        return level

    def enter(self, descriptor: int) -> None:
        """Goes one level down, into an open directory that lies in the innermost one.

        The descriptor is closed by this object from now on.
        """
        self._levels.append(descriptor)
        too_far = len(self._levels) - 1 - OPEN_LEVELS
        level = self._levels[too_far] if too_far > 0 else None
        if isinstance(level, int):  # it may be closed already: the way went up in between
            self._levels[too_far] = _identity(level)
            os.close(level)

    def leave(self) -> None:
        """Goes one level up and closes the directory that was innermost.

        Raises:
            MovedDirectoryError: the level above is not the directory it was.
            OSError: it cannot be opened again.
        """
        if len(self._levels) > 1:
            above = self._levels[-2]
            if not isinstance(above, int):
                parent = os.open("..", DIRECTORY_FLAGS, dir_fd=self.innermost)
                if _identity(parent) != above:
                    os.close(parent)
                    raise MovedDirectoryError
                self._levels[-2] = parent
        os.close(self.innermost)
        self._levels.pop()


def _identity(descriptor: int) -> tuple[int, int]:
    status = os.fstat(descriptor)
    return status.st_dev, status.st_ino
