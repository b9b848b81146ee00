"""The closures exported to a builder: a store inside a build, which has no database."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, Self

from graft.errors import BadFormatError, InvalidPathError
from graft.formats.derivations.exported import parse_exported
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel.tree import read_tree
from graft.store.api import LOCAL_PRIORITY, Closeable, PathInfo
from graft.store.location import resolve_argument
from graft.store.memory import MemoryStore
from graft.store.objects import TreeObject

SCHEME: Final = "graph:"
"""The beginning of such a store's URL; the file's place follows."""

_DEFAULT_STORE_DIR: Final = "/nix/store"


class ExportedGraph(Closeable):
    """The paths that `exportReferencesGraph` lists, with objects where Nix has put them for the
    builder.

    Args:
        paths: the valid paths.
        name: the name of the file, for messages.
    """

    def __init__(self, paths: MemoryStore, name: str) -> None:
        self._paths = paths
        self._name = name

    @classmethod
    def open(cls, url: str, environment: Mapping[str, str]) -> Self:
        """Reads a file: `.attrs.json`, or the text file for a builder without structured
        attributes.

        The latter tells no hashes: they are computed when they are asked for.

        Args:
            url: `graph:FILE`.
            environment: Nix tells a builder in NIX_STORE where its store is.

        Raises:
            OSError: the file cannot be read.
            BadFormatError: it has another form, or says two things of one path.
        """
        file = url.removeprefix(SCHEME)
        with open(file, encoding="utf-8", errors="surrogateescape") as stream:
            text = stream.read()
        store_dir = StoreDir(environment.get("NIX_STORE") or _DEFAULT_STORE_DIR)
        if not text.lstrip().startswith("{"):
            return cls(MemoryStore.of_references_graph(text, store_dir), file)
        paths = MemoryStore(store_dir)
        for found in parse_exported(text, store_dir, file):
            info = PathInfo(
                path=found.path,
                nar_hash=found.nar_hash,
                nar_size=found.nar_size,
                references=found.references,
                content_address=found.content_address,
            )
            known = paths.path_infos([found.path]).get(found.path, info)
            if known != info:
                raise BadFormatError(f"'{file}' says two things of '{found.path}'", path=found.path)
            paths.add(info)
        return cls(paths, file)

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self._paths.store_dir

    @property
    def url(self) -> str:
        """How messages name the store."""
        return SCHEME + self._name

    @property
    def priority(self) -> int:
        """The priority of a store on this machine."""
        return LOCAL_PRIORITY

    @property
    def is_trusted(self) -> bool:
        """Always true: Nix has checked the paths that it gives to a builder."""
        return True

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The file's registrations of the paths among `paths` that it lists."""
        found = self._paths.path_infos(paths)
        for path, info in found.items():
            if not info.nar_size:
                found[path] = self._hashed(info)
        return found

    def _hashed(self, info: PathInfo) -> PathInfo:
        digest = hashlib.sha256()
        report = read_tree(self.tree(info.path), sink=digest.update)
        whole = replace(info, nar_hash=digest.digest(), nar_size=report.nar_size)
        self._paths.add(whole)
        return whole

    def valid_paths(self) -> set[StorePath]:
        """Every path listed."""
        return self._paths.valid_paths()

    def resolve(self, argument: str) -> StorePath:
        """The store path a path argument means.

        Raises:
            BadStorePathError: it leads nowhere inside the store.
        """
        return resolve_argument(argument, self.store_dir, self.store_dir)

    def store_object(self, path: StorePath) -> TreeObject:
        """Where the object of a listed path is."""
        return TreeObject(self.tree(path))

    def tree(self, path: StorePath) -> str:
        """Where the object of a listed path lies.

        Raises:
            InvalidPathError: Nix has not put it there.
        """
        tree = self.store_dir.path(path)
        if not os.path.lexists(tree):
            raise InvalidPathError(
                f"path '{tree}' is in '{self._name}', but not in the store of this build",
                path=tree,
            )
        return tree

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Does nothing: Nix keeps the inputs of a running build."""

    def close(self) -> None:
        """Nothing is open."""
