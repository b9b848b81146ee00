"""The exact changes in one store object: its moved references, and its own name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol, Self

from graft.fixups import Registry, registered
from graft.fixups.fragments import FragmentFinder
from graft.formats.store_path import StoreDir, StorePath
from graft.kernel import HASH_LENGTH, Table
from graft.objects.escaped_names import NameFinder
from graft.objects.file_fixups import FileFixups
from graft.objects.nar_fixups import NarFixups
from graft.objects.tree_fixups import Fixes


class ObjectRewrite(Protocol):
    """One object that becomes another, as a plan has it; `graft.plan.Rewrite` has the fields."""

    @property
    def path(self) -> StorePath:
        """The original."""

    @property
    def new_path(self) -> StorePath:
        """The name of the new object."""

    @property
    def references(self) -> Mapping[StorePath, StorePath]:
        """The references that move, and where they move to."""

    @property
    def fixups(self) -> tuple[str, ...]:
        """The switches of its fix-ups, as for `graft.fixups.registered`."""

    @property
    def replaced(self) -> frozenset[StorePath]:
        """The references whose place another package takes."""


class Rewriting:
    """The exact changes in one object's bytes: its moved references, and its own name.

    Args:
        path: the object's path.
        new_path: the new object's path.
        references: its references that move.
        registry: the registry of the fix-ups that see to the references hidden in its files.

    Attributes:
        table: the references that are rewritten as they stand.
        marks: the marks of files that a fix-up may rewrite.
        renames: whether a name changes with its hash part.
        sums: whether checksums of changed files are looked for in all files.
    """

    def __init__(
        self,
        path: StorePath,
        new_path: StorePath,
        references: Mapping[StorePath, StorePath],
        registry: Registry,
        store_dir: StoreDir,
    ) -> None:
        pairs = [*sorted(references.items()), (path, new_path)]
        entries = [(old.encode(), new.encode()) for old, new in pairs]
        self.table = Table(entries)
        self.marks = registry.marks
        self.sums = registry.sums
        self.renames = any(old[HASH_LENGTH:] != new[HASH_LENGTH:] for old, new in entries)
        self._registry = registry
        self._entries = entries
        self._fragments = FragmentFinder(entries, os.fsencode(str(store_dir)))
        self._names = NameFinder(self.table, entries) if self.renames else None
        self._full = os.fsencode(store_dir.path(path))

    @classmethod
    def of(cls, rewrite: ObjectRewrite, store_dir: StoreDir) -> Self:
        """The changes in the bytes of one path of a plan.

        Raises:
            UsageError: a fix-up is not installed here.
        """
        registry = registered(rewrite.fixups)
        if rewrite.replaced:
            replaced = frozenset(path.hash_part.encode() for path in rewrite.replaced)
            registry = replace(registry, replaced=replaced)
        return cls(rewrite.path, rewrite.new_path, rewrite.references, registry, store_dir)

    def fixes(self, tree: str, marked: Iterable[bytes], *, bare: int = 0) -> Fixes:
        """The results of fix-ups for a tree's files.

        Args:
            marked: the files that have the `marks`.
            bare: how many hash parts stand there without their names, which may be escaped.

        Raises:
            TreeError: a file cannot be read.
            FixupError: one cannot be rewritten, and must not be left alone.
        """
        top = os.fsencode(tree)
        return Fixes(
            top,
            self.table,
            marked,
            self._registry,
            fragments=self._fragments,
            names=self._names,
            bare=bare > 0,
        )

    def nar_fixups(self) -> NarFixups:
        """The fix-ups for the files of its NAR, which passes."""
        return NarFixups(
            FileFixups(self._registry, self.table, self._fragments, self._names), self._full
        )
