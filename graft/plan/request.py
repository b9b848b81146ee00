"""The request for a plan, from the command line, a plan file or a jobs file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from graft.formats.hash_modulo import SelfReferencesChoice
from graft.formats.store_path import StorePath
from graft.plan.rewrites import Addressing

PathT = TypeVar("PathT", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class Graft(Generic[PathT]):
    """The request of one graft: in path arguments (`str`), or in store paths.

    Attributes:
        roots: the paths to be made without OLD.
        replacements: pairs of OLD and NEW.
        cutoffs: paths that are kept unchanged.
        initrd_cutoff: so are the initrds of NixOS systems among the roots.
        deep: read the closure for references that are not registered, and move them as well.
        hidden: such references as a deep plan has found them before, by the path they are in.
        addressing: the origin of new names.
        self_references: in content addressing, the rule of the Nix that is to take the paths;
            `auto` is the rule of the Nix of the target.
        fixups: names of fix-ups to be switched on, or with `no-` before them off.
    """

    roots: tuple[PathT, ...]
    replacements: tuple[tuple[PathT, PathT], ...]
    cutoffs: tuple[PathT, ...] = ()
    initrd_cutoff: bool = True
    deep: bool = False
    hidden: Mapping[PathT, Collection[PathT]] = field(default_factory=dict)
    addressing: Addressing = "input"
    self_references: SelfReferencesChoice = "auto"
    fixups: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        roots: Iterable[PathT],
        replacements: Mapping[PathT, PathT] | Iterable[tuple[PathT, PathT]],
        **options: Any,
    ) -> Graft[PathT]:
        """A graft of any roots and replacements; options are the other attributes."""
        pairs = replacements.items() if isinstance(replacements, Mapping) else replacements
        return Graft(roots=tuple(dict.fromkeys(roots)), replacements=tuple(pairs), **options)

    def resolved(
        self, path: Callable[[str], StorePath], roots: Iterable[StorePath]
    ) -> Graft[StorePath]:
        """The same in store paths.

        Args:
            path: gives the store path of an argument.
            roots: the store paths of this one's roots.
        """
        asked: Any = self
        found: Graft[StorePath] = replace(
            asked,
            roots=tuple(roots),
            replacements=tuple((path(old), path(new)) for old, new in self.replacements),
            cutoffs=tuple(map(path, self.cutoffs)),
            hidden={path(holder): tuple(map(path, held)) for holder, held in self.hidden.items()},
        )
        return found
