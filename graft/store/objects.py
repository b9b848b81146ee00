"""Where the bytes of store objects are: a tree on this machine, or a NAR in a cache."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from graft.formats.store_path import StorePath

if TYPE_CHECKING:
    from graft.store.binary_cache import BinaryCache
    from graft.store.caches.nar_files import NarReader


@dataclass(frozen=True, slots=True)
class TreeObject:
    """An object that lies on this machine's file system.

    Attributes:
        tree: its top.
    """

    tree: str

    def exists(self) -> bool:
        """Whether anything is there."""
        return os.path.lexists(self.tree)


@dataclass(frozen=True, slots=True)
class NarObject:
    """An object that is a NAR in a binary cache.

    Attributes:
        cache: where it is.
        path: its store path, valid there.
    """

    cache: BinaryCache
    path: StorePath

    def exists(self) -> bool:
        """Whether its NAR is there, as far as that can be told without reading it."""
        return self.cache.has_nar(self.path)

    def open(self) -> AbstractContextManager[NarReader]:
        """The NAR, to be read until it ends: only then its hash is checked."""
        return self.cache.nar(self.path)


StoreObject = TreeObject | NarObject
