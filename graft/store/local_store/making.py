"""Paths being made in a local store: under temporary names, until they are whole and registered."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Sequence
from dataclasses import replace

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import parse_derivation
from graft.formats.store_path import StorePath
from graft.kernel.tree import remove_tree, sync_file_system
from graft.store.api import PathInfo
from graft.store.local_store.database import Database
from graft.store.location import Location


class LocalMaking:
    """Paths of a local store under their locks, until they are registered.

    An unregistered tree under a final name is never trusted: Nix may have died while it wrote it.
    Temporary trees are called `<hash part>-graft`: the collector deletes unknown names in the store
    directory, unless their hash part belongs to a protected path.
    """

    def __init__(
        self,
        location: Location,
        database: Database,
        paths: Sequence[StorePath],
        repair: Collection[StorePath],
    ) -> None:
        self._directory = location.real_store_dir
        self._store_dir = location.store_dir
        self._database = database
        self._valid = database.path_infos(paths).keys()
        self.missing = [path for path in paths if path not in self._valid or path in repair]
        self.lost = [
            path
            for path in self._valid
            if path not in repair and not os.path.lexists(self._final(path))
        ]
        self._finished: list[PathInfo] = []
        for path in self.missing:
            self._remove_temporary(path)
            if path not in self._valid:
                remove_tree(self._final(path))

    def _final(self, path: StorePath) -> str:
        return f"{self._directory}/{path}"

    def staging(self, path: StorePath) -> str:
        """Where the tree of a missing path is to be made; nothing is there."""
        return f"{self._directory}/{temporary_names(path)[0]}"

    def _aside(self, path: StorePath) -> str:
        """Where the tree that a repair replaces waits for its end."""
        return f"{self._directory}/{temporary_names(path)[1]}"

    def unpacked(self, path: StorePath) -> str:
        """Where an original that is no tree may lie while the missing path is made of it."""
        return f"{self._directory}/{temporary_names(path)[2]}"

    def finish(self, info: PathInfo) -> None:
        """Gives a finished tree its final name; it is registered when the making ends."""
        final = self._final(info.path)
        self._finished.append(info)  # first: an interrupt may come at any time
        if os.path.lexists(final):
            os.rename(final, self._aside(info.path))
        os.rename(self.staging(info.path), final)

    def register(self) -> None:
        """Makes finished paths valid, once their bytes are on the disk.

        Nix's write-ahead log does not order the data of files before a commit: without the
        syncfs a power cut could leave valid paths with empty files.
        """
        if not self._finished:
            return
        sync_file_system(self._directory)
        now = int(time.time())
        self._database.register(
            [replace(info, registration_time=now) for info in self._finished],
            {info.path: self._outputs(info.path) for info in self._finished},
        )

    def _outputs(self, path: StorePath) -> dict[str, StorePath]:
        """The outputs of a derivation by name; of any other path there are no outputs."""
        if not path.is_derivation:
            return {}
        try:
            with open(self._final(path), "rb") as stream:
                made = parse_derivation(stream.read(), self._store_dir, path)
        except (BadFormatError, IsADirectoryError):  # it has such a name, and is another thing
            return {}
        return {output.name: output.path for output in made.outputs if output.path is not None}

    def undo(self) -> None:
        """Takes back the final names of unregistered paths; the trees that a repair replaced
        return.

        The database is asked: an interrupt may come when it has just committed.
        """
        registered = self._database.path_infos(info.path for info in self._finished)
        for info in self._finished:
            now = registered.get(info.path)
            if now is not None and now.nar_hash == info.nar_hash:
                continue
            if os.path.lexists(self._aside(info.path)):
                remove_tree(self._final(info.path))
                os.rename(self._aside(info.path), self._final(info.path))
            elif info.path not in self._valid:
                remove_tree(self._final(info.path))

    def clean(self) -> None:
        """Removes temporary trees."""
        for path in self.missing:
            self._remove_temporary(path)

    def _remove_temporary(self, path: StorePath) -> None:
        for name in temporary_names(path):
            remove_tree(f"{self._directory}/{name}")


def temporary_names(path: StorePath) -> tuple[str, str, str]:
    """The temporary names of a path: the new tree, the tree that a repair replaces, and an unpacked
    original.
    """
    names = ("graft", "graft-old", "graft-original")
    first, second, third = (f"{path.hash_part}-{name}" for name in names)
    return first, second, third
