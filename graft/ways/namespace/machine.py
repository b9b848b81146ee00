"""The machine's own directories in a namespace, and room for missing ones.

bubblewrap makes a mount point that is missing. Below a directory of the machine's that is bound, it
would make it on the machine, where nothing is to be written: there the directory is shown as a
temporary one instead, with everything that was in it bound into it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable

from graft.ways.namespace.view import View

_log = logging.getLogger(__name__)


def machine_options(
    points: Iterable[str], *, without: Collection[str] = (), whole: bool = True
) -> list[str]:
    """The options of bubblewrap that show the machine's root.

    Args:
        points: paths on which something will be mounted, whether the machine has them or not.
        without: entries of the root, by name, that something else will stand for.
        whole: whether the root may be bound as a whole, if every point is there.
    """
    plain = View({})
    opened = {
        parent
        for point in points
        if point.split("/")[1] not in without and (parent := _to_open(point, plain)) is not None
    }
    if whole and "/" not in opened:
        options = ["--dev-bind", "/", "/"]
    else:
        options = _entries("/", plain, without)
    # A directory before those inside it.
    for parent in sorted(opened - {"/"}):
        options += ["--tmpfs", parent, *_entries(parent, plain)]
    return options


def room_options(point: str, view: View) -> list[str]:
    """The options of bubblewrap that make room for a mount in directories shown by earlier mounts.

    Args:
        point: the path on which something will be mounted.
        view: the paths shown so far.
    """
    parent = _to_open(point, view)
    return [] if parent is None else ["--tmpfs", parent, *_entries(parent, view)]


def _to_open(point: str, view: View) -> str | None:
    """The directory in which the first part of a path is missing, if one is."""
    if view.exists(point):
        return None
    parent = os.path.dirname(point)
    while not view.is_directory(parent):
        parent = os.path.dirname(parent)
    return parent


def _entries(directory: str, view: View, without: Collection[str] = ()) -> list[str]:
    options = []
    outside = view.outside(directory)
    for name in sorted(set(os.listdir(outside)) - set(without)):
        place, source = os.path.join(directory, name), os.path.join(outside, name)
        try:
            os.lstat(source)
        except OSError as error:
            # A mount whose server or program is gone, or that is another user's.
            _log.warning(
                "warning: '%s' cannot be looked at, and is left out: %s",
                source,
                error.strerror or "",
            )
            continue
        if os.path.islink(source):
            options += ["--symlink", os.readlink(source), place]
        else:
            options += ["--dev-bind", source, place]
    return options
