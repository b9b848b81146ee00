"""Names inside store objects, with links followed as they lead in the store, wherever that lies."""

from __future__ import annotations

import os
import posixpath

from graft.formats.store_path import StorePath
from graft.store.api import Source

_MOST_LINKS = 40  # as many as the kernel follows


def follow(store: Source, path: StorePath, name: str, *, leave: bool = False) -> str | None:
    """Where a name inside a valid path's object is on this machine, with links followed.

    Args:
        name: relative to the object's top; empty for the top itself.
        leave: whether links may lead out of the object.

    Returns:
        None if there is nothing, or a link leads out though it may not.
    """
    store_dir = store.store_dir
    # All that is followed lies below `full`, logically, which really is `tree`.
    full, tree = store_dir.path(path), store.tree(path)
    waiting = [part for part in reversed(name.split("/")) if part]
    done: list[str] = []
    for _ in range(_MOST_LINKS):
        while True:
            real = "/".join([tree, *done])
            if os.path.islink(real):
                break
            if not waiting:
                return real if os.path.lexists(real) else None
            done.append(waiting.pop())
        target = posixpath.join("/".join([full, *done[:-1]]), os.readlink(real))
        if not done:
            target = posixpath.join(store_dir, os.readlink(real))
        rest = "/".join(reversed(waiting))
        target = posixpath.normpath(posixpath.join(target, rest))
        if target != full and not target.startswith(f"{full}/"):
            if not leave:
                return None
            if not store_dir.contains(target):
                return target if os.path.exists(target) else None
            path = store_dir.first_path(target)
            full, tree = store_dir.path(path), store.tree(path)
        waiting = [part for part in reversed(target[len(full) :].split("/")) if part]
        done = []
    return None
