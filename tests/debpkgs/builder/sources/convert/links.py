"""Symlinks that left their package in Debian, made to point into the store."""

import os
import posixpath

from .layout import Layout
from .release import MERGED


def relink(layout: Layout) -> int:
    """Points every link whose target has a place in the store there; how many changed."""
    changed = 0
    for output, root in layout.outputs.items():
        for directory, subdirectories, files in os.walk(root):
            for name in subdirectories + files:
                link = os.path.join(directory, name)
                if os.path.islink(link):
                    changed += _relink(layout, output, root, link)
    return changed


def _relink(layout: Layout, output: str, root: str, link: str) -> bool:
    target = os.readlink(link)
    directory = os.path.dirname(link)
    if target.startswith(layout.store + "/"):
        return False
    if not target.startswith("/"):
        if os.path.lexists(os.path.join(directory, target)):
            return False
        target = _debian_target(os.path.relpath(directory, root), target)
    found = layout.lookup(target, output)
    if found is None:
        return False
    if found.startswith(root + "/"):
        found = os.path.relpath(found, directory)
    os.unlink(link)
    os.symlink(found, link)
    return True


def _debian_target(directory: str, target: str) -> str:
    """Where a relative link led to in Debian, absolute."""
    top = "/usr" if directory.partition("/")[0] in MERGED else ""
    return posixpath.normpath(f"{top}/{directory}/{target}")
