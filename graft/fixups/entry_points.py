"""Users' own fix-ups: entry points of the packages that are installed."""

from __future__ import annotations

import os
import re
import sys

from graft.errors import UsageError
from graft.fixups.api import Fixup

GROUP = "graft.fixups"
"""The group of users' own: each names an object with the attributes and methods of a Fixup."""


def users_own() -> list[Fixup]:
    """The fix-ups of the packages that are installed, by name.

    Raises:
        UsageError: one of them cannot be loaded, or is none.
    """
    if not may_be_installed():
        return []
    from importlib.metadata import entry_points  # noqa: PLC0415 - late: see may_be_installed

    fixups = []
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
        fixups.append(fixup)
    return fixups


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
