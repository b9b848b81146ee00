"""Users' own fix-ups: entry points of the packages that are installed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Final

from graft.errors import GraftError, UsageError
from graft.fixups.api import (
    BrokenFixupError,
    Fixup,
    Inside,
    LeftAloneError,
    UnknownLibraryError,
)
from graft.fixups.damage import DAMAGE

GROUP = "graft.fixups"
"""The group of users' own: each names an object with the attributes and methods of a Fixup."""


def users_own() -> list[Fixup]:
    """The fix-ups of the packages that are installed, by name.

    Raises:
        UsageError: one of them cannot be loaded, or is no fix-up.
    """
    if not may_be_installed():
        return []
    from importlib.metadata import entry_points  # noqa: PLC0415 - late: see may_be_installed

    fixups: list[Fixup] = []
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            loaded = point.load()
            fixup = loaded() if isinstance(loaded, type) else loaded
            named = isinstance(fixup, Fixup) and re.fullmatch("[a-z0-9][a-z0-9-]*", fixup.name)
        except Exception as error:
            raise UsageError(
                f"the fix-up '{point.name}' of {point.value} cannot be loaded: {error}",
                fixup=point.name,
            ) from error
        if not named:
            raise UsageError(
                f"'{point.value}' is no fix-up: let it be a graft.fixups.Fixup with a name of "
                "lower-case letters, digits and dashes",
                fixup=point.name,
            )
        fixups.append(OwnFixup(fixup))
    return fixups


class OwnFixup(Fixup):
    """A user's own fix-up, of which a defect is told as the defect of that fix-up.

    Args:
        fixup: does the work.

    Attributes:
        origin: the module and the class that it comes from.
    """

    def __init__(self, fixup: Fixup) -> None:
        self._fixup = fixup
        self.name, self.version, self.by_default = fixup.name, fixup.version, fixup.by_default
        self.plain_without, self.opens = fixup.plain_without, fixup.opens
        self.stores, self.packs, self.hides = fixup.stores, fixup.packs, fixup.hides
        self.magics, self.suffixes, self.names = fixup.magics, fixup.suffixes, fixup.names
        self.origin = f"{type(fixup).__module__}:{type(fixup).__qualname__}"

    @property
    def is_looked_into(self) -> bool:
        """As the user's own says."""
        return self._fixup.is_looked_into

    def recognises(self, head: bytes, name: bytes) -> bool:
        """As the user's own says."""
        with self._defects():
            return self._fixup.recognises(head, name)

    def is_packed(self, file: IO[bytes]) -> bool:
        """As the user's own says."""
        with self._defects():
            return self._fixup.is_packed(file)

    def vital(self, data: bytes, name: bytes) -> bool:
        """As the user's own says."""
        with self._defects():
            return self._fixup.vital(data, name)

    def apply(self, data: bytes, name: bytes, inside: Inside) -> bytes:
        """The file as the user's own fix-up makes it."""
        with self._defects():
            return self._fixup.apply(data, name, inside)

    @contextmanager
    def _defects(self) -> Iterator[None]:
        try:
            yield
        except _MEANT:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokenFixupError(self.name, reason) from error


# The exceptions that a fix-up may raise without a defect of its own: they tell of its file, of
# graft, or of the machine.
_MEANT: Final = (
    LeftAloneError,
    UnknownLibraryError,
    BrokenFixupError,
    GraftError,
    OSError,
    MemoryError,
    *DAMAGE,
)


def may_be_installed() -> bool:
    """Whether an entry point of the group may be there, which importlib.metadata then says.

    Its import and search take longer than the plan of a small closure. This one looks for the
    group's name in the files that importlib.metadata reads, and says yes where it cannot see.
    """
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    if [getattr(finder, "__name__", None) for finder in finders] != ["PathFinder"]:
        return True
    return any(map(_may_hold, dict.fromkeys(sys.path)))


def _may_hold(directory: str) -> bool:
    """Whether a directory of sys.path may have a package with an entry point of the group."""
    if directory.endswith(".egg"):
        return True
    try:
        names = os.listdir(directory or ".")
    except FileNotFoundError:
        return False
    except OSError:  # an archive, above all
        return True
    for name in names:
        if name.lower().endswith((".dist-info", ".egg-info", ".egg")):
            try:
                with open(os.path.join(directory, name, "entry_points.txt"), "rb") as file:
                    if GROUP.encode() in file.read():
                        return True
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError:
                return True
    return False
