"""Symlinks into a store, read without following them."""

from __future__ import annotations

import os

from graft.errors import BadStorePathError
from graft.formats.store_path import StoreDir, StorePath


def led_to(link: str, store_dir: StoreDir) -> StorePath | None:
    """The store path in a symlink's text; None if it names another place."""
    try:
        return store_dir.first_path(os.readlink(link))
    except (OSError, BadStorePathError, ValueError):
        return None
