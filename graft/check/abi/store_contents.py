"""The objects of a store as the loader could see them."""

from __future__ import annotations

import tempfile
from typing import BinaryIO, Self

from graft.check.abi.nar_contents import NarContents
from graft.check.abi.object_contents import ObjectContents
from graft.check.abi.tree_contents import TreeContents
from graft.formats.store_path import StorePath
from graft.store.api import Source
from graft.store.objects import NarObject


class StoreContents:
    """The objects of a store, each looked at when it is first asked for.

    It is to be closed: it keeps the contents of NARs in a temporary file.

    Args:
        source: where they are valid.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._objects: dict[StorePath, ObjectContents] = {}
        self._kept: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()

    def __getitem__(self, path: StorePath) -> ObjectContents:
        """One object.

        Raises:
            CacheError, CorruptCacheError, BadFormatError: its NAR cannot be read.
        """
        found = self._objects.get(path)
        if found is None:
            item = self._source.store_object(path)
            if isinstance(item, NarObject):
                if self._kept is None:
                    self._kept = tempfile.TemporaryFile(prefix="graft-")  # noqa: SIM115 - until __exit__
                found = NarContents(self._kept)
                found.read(item)
            else:
                found = TreeContents(item)
            self._objects[path] = found
        return found
