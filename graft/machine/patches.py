"""The patches of packages: the vulnerabilities that the derivations of store paths name as fixed.

Source: the variable `patches` of nixpkgs' stdenv (pkgs/stdenv/generic/setup.sh), and `__json` of
structured attributes. vulnix goes by the same names.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from graft.errors import BadFormatError
from graft.formats.advisory import patched_vulnerabilities
from graft.formats.derivations.derivation import Derivation, parse_derivation
from graft.formats.store_path import StorePath
from graft.store.local import LocalStore


class Patches:
    """The patches of the paths of a store; each derivation is read once."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        self._found: dict[StorePath, frozenset[str]] = {}

    def named(self, path: StorePath) -> frozenset[str]:
        """The vulnerabilities that patches of a path name; nothing where no derivation is there."""
        info = self._store.path_infos([path]).get(path)
        built_by = {info.deriver} if info and info.deriver else set()
        derivers = self._store.path_infos(built_by).keys() or self._store.derivers(path)
        # All that might have built it must have the patch.
        named = [self._of(derivation) for derivation in sorted(derivers)]
        return frozenset.intersection(*named) if named else frozenset()

    def _of(self, derivation: StorePath) -> frozenset[str]:
        if derivation not in self._found:
            self._found[derivation] = frozenset(self._read(derivation))
        return self._found[derivation]

    def _read(self, path: StorePath) -> frozenset[str]:
        try:
            with open(self._store.tree(path), "rb") as stream:
                derivation = parse_derivation(stream.read(), self._store.store_dir, path)
        except (FileNotFoundError, BadFormatError):
            return frozenset()  # no derivation says that anything is fixed
        return patched_vulnerabilities(_patches(derivation))


def _patches(derivation: Derivation) -> Iterator[str]:
    for name, value in derivation.environment:
        if name == "patches":
            yield from value.split()
        elif name == "__json":
            try:
                attributes = json.loads(value)
            except ValueError:
                continue
            patches = attributes.get("patches") if isinstance(attributes, dict) else None
            for one in patches if isinstance(patches, list) else [patches]:
                yield str(one)
