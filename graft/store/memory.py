"""A store that exists only in memory: for planning over closures that are known as facts.

Such facts are the texts Nix itself writes of a store that is elsewhere, or is yet to be made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Self

from graft.errors import BadFormatError
from graft.formats.derivations.references_graph import GraphNode, parse_graph
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import PathInfo

_UNKNOWN_HASH: Final = bytes(32)


class MemoryStore:
    """Valid paths and their references, without contents.

    Args:
        store_dir: the logical store directory.
        infos: the paths that are valid from the start.
    """

    def __init__(self, store_dir: str = "/nix/store", infos: Iterable[PathInfo] = ()) -> None:
        self._store_dir = StoreDir(store_dir)
        self._infos = {info.path: info for info in infos}

    @classmethod
    def of_references_graph(cls, text: str, store_dir: str = "/nix/store") -> Self:
        """The paths of a text that exportReferencesGraph has given to a builder.

        Their hashes are unknown and stand as zeros, and so do their sizes.

        Raises:
            BadFormatError: it has another form, or says two things of one path.
        """
        directory = StoreDir(store_dir)
        return cls(directory, _once(map(_node, parse_graph(text, directory))))

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self._store_dir

    @property
    def url(self) -> str:
        """How messages name the store."""
        return "memory"

    def add(self, info: PathInfo) -> None:
        """Makes a path valid, or registers it anew."""
        self._infos[info.path] = info

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        """The registrations of the valid paths among `paths`."""
        return {path: self._infos[path] for path in paths if path in self._infos}

    def valid_paths(self) -> set[StorePath]:
        """Every valid path."""
        return set(self._infos)


def _node(found: GraphNode) -> PathInfo:
    return PathInfo(
        path=found.path,
        nar_hash=_UNKNOWN_HASH,
        nar_size=0,
        references=frozenset(found.references),
        deriver=found.deriver,
    )


def _once(infos: Iterable[PathInfo]) -> list[PathInfo]:
    """Each path once: texts of several closures, one behind the other, share paths."""
    found: dict[StorePath, PathInfo] = {}
    for info in infos:
        if found.setdefault(info.path, info) != info:
            raise BadFormatError(
                f"path '{info.path}' is registered twice, and not the same", path=info.path
            )
    return list(found.values())
