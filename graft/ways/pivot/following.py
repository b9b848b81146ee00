"""Names inside store objects, with links followed as they lead in the store, wherever that lies."""

from __future__ import annotations

import errno
import os

from graft.errors import BadStorePathError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import LocalSource

_MOST_LINKS = 40  # as many as the kernel follows


def follow(store: LocalSource, path: StorePath, name: str, *, leave: bool = False) -> str | None:
    """Where a name inside a valid path's object is on this machine, with links followed.

    Args:
        name: relative to the object's top; empty for the top itself.
        leave: whether it may be outside of the object in the end.

    Returns:
        None if there is nothing, or it is outside.
    """
    full = store.store_dir.path(path)
    found = _resolve(store, f"{full}/{name}" if name else full)
    if found is None or not (leave or found == full or found.startswith(f"{full}/")):
        return None
    return _real(store, found)


def _resolve(store: LocalSource, text: str) -> str | None:
    """An absolute path as texts in the store name it, without links; None if there is nothing."""
    at, waiting = _begin(text, store.store_dir)
    links = 0
    while waiting:
        part = waiting.pop()
        if part in {"", ".", ".."}:
            if not _is_directory(store, at):
                return None
            if part == "..":
                at = os.path.dirname(at).rstrip("/")
            continue
        real = _real(store, f"{at}/{part}")
        if real is None:
            return None
        try:
            target = os.readlink(real)
        except OSError as error:
            if error.errno != errno.EINVAL:
                return None
            at = f"{at}/{part}"  # it is there, and no link
            continue
        links += 1
        if links > _MOST_LINKS:
            return None
        if target.startswith("/"):
            at, more = _begin(target, store.store_dir)
            waiting += more
        else:
            waiting += reversed(target.split("/"))
    return at or "/"


def _begin(text: str, store_dir: StoreDir) -> tuple[str, list[str]]:
    """Where an absolute path begins, and the parts to be followed from there, the last one first.

    How the store directory itself is reached is not looked at.
    """
    inside = text == store_dir or text.startswith(f"{store_dir}/")
    at = str(store_dir) if inside else ""
    return at, text[len(at) :].split("/")[::-1]


def _is_directory(store: LocalSource, at: str) -> bool:
    real = _real(store, at)
    return at in {"", store.store_dir} or (real is not None and os.path.isdir(real))


def _real(store: LocalSource, text: str) -> str | None:
    """Where on this machine something is that texts in the store name so."""
    if not text.startswith(f"{store.store_dir}/"):
        return text
    name, slash, rest = text[len(store.store_dir) + 1 :].partition("/")
    try:
        return store.tree(StorePath(name)) + slash + rest
    except BadStorePathError:
        return None
