"""The packages of a set, and the derivations they are built by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from graft.errors import BadFormatError
from graft.formats.derivations.derivation import Derivation, parse_derivation
from graft.formats.derivations.output_path import upstream_placeholder
from graft.formats.store_path import StoreDir, StorePath
from graft.store.api import Source
from graft.store.objects import TreeObject


class Derivations:
    """The derivations of a store, and others that are known; each is read once.

    Args:
        store: where `.drv` files are.
        known: the derivations that a document describes whole.
    """

    def __init__(self, store: Source, known: Mapping[StorePath, Derivation] | None = None) -> None:
        self._store = store
        self._found: dict[StorePath, Derivation | None] = dict(known or {})

    @property
    def store_dir(self) -> StoreDir:
        """Where all of them are."""
        return self._store.store_dir

    def get(self, path: StorePath) -> Derivation | None:
        """The derivation of a `.drv` file, None if it is not there.

        Raises:
            BadFormatError: the file holds something else.
        """
        if path not in self._found:
            self._found[path] = self._read(path)
        return self._found[path]

    def _read(self, path: StorePath) -> Derivation | None:
        if path not in self._store.path_infos([path]):
            return None
        place = self._store.store_object(path)
        if not isinstance(place, TreeObject):
            return None
        with open(place.tree, "rb") as stream:
            return parse_derivation(stream.read(), self._store.store_dir, path)

    def __getitem__(self, path: StorePath) -> Derivation:
        """The derivation of a `.drv` file.

        Raises:
            BadFormatError: it is not there, or holds something else.
        """
        found = self.get(path)
        if found is None:
            full = self._store.store_dir.path(path)
            raise BadFormatError(
                f"derivation '{full}' is not in the store '{self._store.url}': make it there "
                "with 'nix-instantiate' first",
                path=full,
            )
        return found

    def output(self, path: StorePath, name: str) -> StorePath | str:
        """An output's path, or the placeholder that stands for it."""
        for output in self[path].outputs:
            if output.name == name and output.path is not None:
                return output.path
        return upstream_placeholder(path, name)

    def outputs(self, path: StorePath) -> dict[str, StorePath]:
        """The outputs whose paths are known, by name; nothing if the file is not there."""
        found = self.get(path)
        outputs = found.outputs if found is not None else ()
        return {output.name: output.path for output in outputs if output.path is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One member of a set.

    Attributes:
        attribute: its name in the set; None for a root, which has no such name.
        derivation: the `.drv` it is built by, if it is known and can be read.
        outputs: the paths by output name.
    """

    attribute: str | None = None
    derivation: StorePath | None = None
    outputs: Mapping[str, StorePath] = field(default_factory=dict)

    @property
    def known_by(self) -> StorePath:
        """The path whose name is the package's."""
        return self.derivation or min(self.outputs.values(), key=len)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageSet:
    """Packages, and where their derivations are read.

    Attributes:
        name: how messages name it.
        packages: in any order.
        derivations: theirs, and of all they are built with.
    """

    name: str
    packages: tuple[Package, ...]
    derivations: Derivations

    def output_paths(self) -> set[StorePath]:
        """Every path that a package makes."""
        return {path for package in self.packages for path in package.outputs.values()}

    def needed_paths(self) -> set[StorePath]:
        """The paths that must stay in the store while the set is read."""
        derivations = {package.derivation for package in self.packages}
        return self.output_paths().union(path for path in derivations if path is not None)


def packages_of(
    derivations: Derivations, paths: Iterable[tuple[str | None, StorePath]]
) -> tuple[Package, ...]:
    """The packages of some derivations.

    Args:
        paths: each attribute and `.drv`.

    Raises:
        BadFormatError: a derivation is not there.
    """
    made = []
    for attribute, path in paths:
        derivations[path]
        made.append(
            Package(attribute=attribute, derivation=path, outputs=derivations.outputs(path))
        )
    return tuple(made)
