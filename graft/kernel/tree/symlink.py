"""Symlinks into a store, read as they are."""

from __future__ import annotations

import os

from graft.errors import BadStorePathError
from graft.formats.store_path import StoreDir, StorePath


def led_to(link: str, store_dir: StoreDir) -> StorePath | None:
    """The store path a symlink leads into, as it says itself; None if it is none, or leads out."""
    try:
        return store_dir.first_path(os.readlink(link))
    except (OSError, BadStorePathError, ValueError):
        return None
