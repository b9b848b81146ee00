"""A store added as the guide in CONTRIBUTING.md says: trees in a directory, and a list of them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Final, Self

from graft.errors import BadFormatError
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import LOCAL_PRIORITY, Closeable, PathInfo
from graft.store.kinds import StoreKind
from graft.store.location import resolve_argument
from graft.store.objects import TreeObject

TOY: Final = StoreKind(
    schemes=("toy",),
    forms={"toy:DIR": "a directory of trees, with a file `list`"},
    noun="toy",
    opens="tests.store.toy:ToyStore.open",
)


class ToyStore(Closeable):
    """What the file `list` of a directory says, and the trees beside it."""

    def __init__(self, directory: str, store_dir: StoreDir, infos: Iterable[PathInfo]) -> None:
        self._directory = directory
        self._store_dir = store_dir
        self._infos = {info.path: info for info in infos}

    @classmethod
    def open(cls, url: str, _environment: Mapping[str, str]) -> Self:
        directory = url.removeprefix("toy:")
        with open(f"{directory}/list", encoding="utf-8") as file:
            try:
                listed = json.load(file)
            except ValueError as error:
                raise BadFormatError(f"'{directory}/list' is no list: {error}") from error
        store_dir = StoreDir(listed["store_dir"])
        return cls(directory, store_dir, (_info(entry) for entry in listed["paths"]))

    @property
    def store_dir(self) -> StoreDir:
        return self._store_dir

    @property
    def url(self) -> str:
        return f"toy:{self._directory}"

    @property
    def priority(self) -> int:
        return LOCAL_PRIORITY

    @property
    def is_trusted(self) -> bool:
        return True

    def path_infos(self, paths: Iterable[StorePath]) -> dict[StorePath, PathInfo]:
        return {path: self._infos[path] for path in paths if path in self._infos}

    def valid_paths(self) -> set[StorePath]:
        return set(self._infos)

    def resolve(self, argument: str) -> StorePath:
        return resolve_argument(argument, self._store_dir, self._store_dir)

    def store_object(self, path: StorePath) -> TreeObject:
        return TreeObject(os.path.join(self._directory, path))

    def protect(self, paths: Iterable[StorePath]) -> None:
        """Nothing: nobody collects here."""

    def close(self) -> None:
        """Nothing is open."""


def _info(entry: dict[str, object]) -> PathInfo:
    references = entry["references"]
    assert isinstance(references, list)
    return PathInfo(
        path=StorePath(str(entry["path"])),
        nar_hash=bytes.fromhex(str(entry["hash"])),
        nar_size=int(str(entry["size"])),
        references=frozenset(map(StorePath, references)),
    )
