"""A store of its own with a closure of another, to be grafted again and again."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from graft import Closure, LocalStore
from graft.formats.store_path import StorePath
from graft.kernel.tree import remove_tree
from graft.store.local_store.database import Database
from graft.store.location import Location
from tests.debpkgs import Built

from .bench import fresh, graft_command, quietly


class Replica:
    """The old root's closure and every NEW's, in a store below `directory`; nothing is rooted."""

    def __init__(self, built: Built, directory: Path) -> None:
        fresh(directory)
        self._store, self._state = directory / "store", directory / "state"
        self._pristine = directory / "pristine"
        self.location = Location.of_directories(str(self._store), str(self._state))
        self.root = os.path.basename(built.old_root)
        self.pairs = {
            os.path.basename(o): os.path.basename(n) for o, n in built.replacements.items()
        }
        with LocalStore(
            store=str(built.store.store_dir), state=str(built.store.state_dir)
        ) as source:
            tops = [StorePath(name) for name in [self.root, *self.pairs, *self.pairs.values()]]
            infos = Closure.of(source, tops).infos
            self.closure = sorted(Closure.of(source, tops[:1]).infos)
            trees = [source.tree(path) for path in sorted(infos)]
        LocalStore.create(self.location)
        quietly(["cp", "-a", "--reflink=never", *trees, self._store])
        with closing(
            Database(self.location.database_dir, self.location.store_dir, writable=True)
        ) as database:
            database.register(list(infos.values()))
        self._original = set(os.listdir(self._store))
        shutil.copytree(self._state, self._pristine, symlinks=True)

    def command(self, name: str, *options: str) -> list[str]:
        """`graft NAME` on this store, with the root and the replacements."""
        replacements = [f"--replace={old}={new}" for old, new in self.pairs.items()]
        store = ("--store", self.location.url)
        return graft_command(*store, "-q", name, self.root, *replacements, *options)

    def tree(self, path: str) -> str:
        return str(self._store / path)

    def reset(self) -> None:
        """Removes all that was made since."""
        for name in set(os.listdir(self._store)) - self._original:
            remove_tree(self._store / name)
        shutil.rmtree(self._state)
        shutil.copytree(self._pristine, self._state, symlinks=True)

    def regular_files(self, paths: Iterable[str]) -> list[str]:
        """All regular files of these paths, the largest first: so threads end together."""
        found = (entry for path in paths for entry in _regular_files(self.tree(path)))
        return sorted(found, key=lambda entry: (-os.path.getsize(entry), entry))


def _regular_files(top: str) -> Iterator[str]:
    if os.path.isfile(top) and not os.path.islink(top):
        yield top
    for directory, _, names in os.walk(top):
        for entry in (os.path.join(directory, name) for name in names):
            if not os.path.islink(entry):
                yield entry
