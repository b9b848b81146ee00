"""A package set grafted by the real command, in its store, beside the root that was rebuilt."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from tests.debpkgs import equality
from tests.debpkgs.built import Built
from tests.debpkgs.contained import contain
from tests.debpkgs.equality import Row, Status, Table
from tests.debpkgs.store import TOOLS, PrivateStore
from tests.nix_answers import path_infos

# What a test that builds a set is marked with.
MARKS = (pytest.mark.nix, pytest.mark.needs(*TOOLS))

# Those that are not on by themselves.
ALL_FIXUPS = ("--fixup=checksums", "--fixup=initrd")

# A version of Debian's: one word, perhaps a revision; then perhaps an output.
_VERSION = re.compile(r"-[0-9][^-]*(?:-[^-]*)?(-[a-z]+)?$")


@dataclass(frozen=True)
class Grafted:
    """A set in a store of its own, grafted from the old library to the new one."""

    built: Built
    store: PrivateStore
    link: Path
    document: Mapping[str, Any]

    @property
    def new_root(self) -> str:
        root = self.document["new_roots"][self.built.old_root]
        assert isinstance(root, str)
        return root

    @property
    def rebuilt_root(self) -> str:
        return self.built.new_root

    @cached_property
    def new_closure(self) -> list[str]:
        return self.store.closure(self.new_root)

    @cached_property
    def table(self) -> Table:
        """The grafted closure held against the rebuilt one."""
        return equality.compare(
            self.new_closure,
            self.store.closure(self.rebuilt_root),
            self.document["paths"],
            self.built.replacements,
        )

    @property
    def counts(self) -> Counter[Status]:
        return Counter(row.status for row in self.table.rows)

    @property
    def changed(self) -> list[Row]:
        """The paths that the rebuild made anew, without the replaced ones."""
        return [row for row in self.table.rows if row.status is not Status.SHARED]

    @property
    def rewritten(self) -> dict[str, Row]:
        """By their originals, the paths that the graft made anew as well."""
        return {row.original: row for row in self.changed if row.original is not None}

    @property
    def left_alone(self) -> dict[str, Row]:
        """By their originals, the paths that only the rebuild made anew."""
        return {
            row.grafted: row
            for row in self.changed
            if row.original is None and row.grafted is not None
        }

    @cached_property
    def referring(self) -> set[str]:
        """What of the old closure leads to a replaced path, as Nix says."""
        old = self.built.replacements
        found = self.store.run("nix-store", "--query", "--referrers-closure", *old).split()
        return (set(found) & set(self._old_closure)) - set(old)

    @cached_property
    def built_with(self) -> set[str]:
        """What of the old closure was built with a replaced path, as Nix says."""
        old, closure = self.built.replacements, self._old_closure
        derivers = dict(zip(closure, self._derivers(closure), strict=True))
        replaced = {derivers[path] for path in old}
        found = self.store.run("nix-store", "--query", "--referrers-closure", *replaced).split()
        return {path for path in closure if derivers[path] in found} - set(old)

    @cached_property
    def _old_closure(self) -> list[str]:
        return self.store.closure(self.built.old_root)

    def _derivers(self, paths: Iterable[str]) -> list[str]:
        derivers = self.store.run("nix-store", "--query", "--deriver", *paths).split()
        assert "unknown-deriver" not in derivers
        return derivers

    def differences(self) -> dict[str, list[str]]:
        """What is not plainly equal: by the path's name, which entries differ, and how."""
        return {
            row.name: [str(found) for found in row.differences]
            for row in self.table.rows
            if row.differences
        }

    def registered(self, root: str) -> dict[str, tuple[int, set[str]]]:
        """The NAR size and the references of every path below a root, from Nix's database."""
        infos = path_infos(self.store.run("nix", "path-info", "--json", "-r", root))
        return {info["path"]: (info["narSize"], set(info["references"])) for info in infos}

    def registered_as_rebuilt(self) -> dict[str, tuple[int, set[str]]]:
        """The same of the grafted closure, every path renamed to its rebuilt counterpart."""
        renamed = {row.grafted: row.rebuilt for row in self.table.rows}
        return {
            str(renamed[path]): (size, {str(renamed[found]) for found in references})
            for path, (size, references) in self.registered(self.new_root).items()
        }

    def mapped_by_python(self) -> set[str]:
        """The store paths of which the new root's Python has files in its memory."""
        program = "import ssl, zlib; print(open('/proc/self/maps').read())"
        maps = subprocess.run(
            [f"{self.link}/sw/bin/python3", "-c", program],
            env={"PATH": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        return set(re.findall(rf"{re.escape(str(self.store.store_dir))}/[^/\s]+", maps))

    def verify(self) -> None:
        """Lets Nix read the grafted closure and the original one, and its own database."""
        self.store.run("nix-store", "--verify")
        self.store.run("nix", "store", "verify", "-r", self.new_root, self.built.old_root)


def apply_arguments(built: Built, store: PrivateStore, *options: str) -> list[str]:
    """The arguments that graft the old root, but for the new one's openssl, zlib or glibc."""
    url = f"--store=local?store={store.store_dir}&state={store.state_dir}"
    pairs = [f"--replace={old}={new}" for old, new in built.replacements.items()]
    return [url, "apply", built.old_root, *pairs, *options]


@contextlib.contextmanager
def grafted(built: Built, directory: Path) -> Iterator[Grafted]:
    """Grafts as a user would, for as long as the store is ours; then all of it is gone again."""
    with built.checkout() as store:
        yield _graft(built, store, directory)


@contextlib.contextmanager
def grafted_with_containers(built: Built, directory: Path) -> Iterator[Grafted]:
    """The same of the roots of `contain`, with all fix-ups; references in containers are moved."""
    with built.checkout() as store:
        made = contain(built, store, directory)
        built = replace(built, old_root=made.old_root, new_root=made.new_root)
        yield _graft(built, store, directory, "--deep", *ALL_FIXUPS)


def _graft(built: Built, store: PrivateStore, directory: Path, *options: str) -> Grafted:
    link, file = directory / "patched", directory / "outcome.json"
    with file.open("w") as stream:
        arguments = apply_arguments(built, store, "--json", "--add-root", str(link), *options)
        subprocess.run([sys.executable, "-m", "graft", *arguments], stdout=stream, check=True)
    return Grafted(built, store, link, json.loads(file.read_text()))


def manifest(root: str) -> list[str]:
    """The list of store paths that a root's buildEnv keeps."""
    return Path(f"{root}/sw/manifest").read_text(encoding="utf-8").splitlines()


def names(rows: Iterable[Row]) -> list[str]:
    """The rows' names without versions, sorted."""
    return sorted(_VERSION.sub(r"\1", row.name) for row in rows)
