"""The plan: where every path of a closure ends up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Self

from graft.errors import PlanError
from graft.fixups import registered_switches
from graft.formats.hash_modulo import SelfReferences
from graft.formats.store_path import StoreDir, StorePath
from graft.graph import references_first
from graft.plan.closure import Closure
from graft.plan.destinations import Ends, order_of_leading, references_after
from graft.plan.replacements import (
    circular_replacements,
    movement_graph,
    resolve_chains,
    unite_replacements,
)
from graft.plan.rewrites import Addressing, Alias, ContentName, PlanWarning, Rewrite
from graft.plan.warnings import Situation, plan_warnings
from graft.store.api import PathInfo


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The work of a graft, by names only.

    Attributes:
        closure: the closure that it was made from.
        roots: as given, without repetition.
        replacements: as given.
        cutoffs: as given.
        rewrites: references before referrers.
        aliases: in the order of their names.
        moved: ρ of every path that does not stay, as its referrers see it: an alias where the
            names' lengths differ and there are referrers.
        new_roots: where each root ends up; never an alias.
        new_references: the new closure: for each path its references there, without itself.
        warnings: in the order of kind and path.
        addressing: the origin of new names.
        self_references: the rule by which contents are hashed that hold their own name.
        fixups: the settings of fix-ups that differ from the defaults.
        placeholders: the names of new paths that stand for others: in content addressing all, until
            the bytes are known.
        content_names: then, by the real names of the new paths, the origins of the names.
    """

    closure: Closure = field(repr=False)
    roots: tuple[StorePath, ...]
    replacements: Mapping[StorePath, StorePath]
    cutoffs: frozenset[StorePath]
    rewrites: tuple[Rewrite, ...]
    aliases: tuple[Alias, ...]
    moved: Mapping[StorePath, StorePath]
    new_roots: Mapping[StorePath, StorePath]
    new_references: Mapping[StorePath, frozenset[StorePath]] = field(repr=False)
    warnings: tuple[PlanWarning, ...]
    addressing: Addressing = "input"
    self_references: SelfReferences = "positions"
    fixups: tuple[str, ...] = ()
    placeholders: frozenset[StorePath] = frozenset()
    content_names: Mapping[StorePath, ContentName] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        closure: Closure,
        replacements: Mapping[StorePath, StorePath] | Mapping[str, str] | Iterable[tuple[str, str]],
        *,
        roots: Iterable[str],
        cutoffs: Iterable[str] = (),
        initrds: Mapping[StorePath, StorePath] = MappingProxyType({}),
        addressing: Addressing = "input",
        self_references: SelfReferences = "positions",
        fixups: Iterable[str] = (),
    ) -> Self:
        """Plans a graft.

        Args:
            closure: the closure of the roots and of every NEW.
            replacements: OLD to NEW; pairs may repeat, but not contradict, each other.
            roots: the paths to be made without OLD. These and the others may be texts.
            cutoffs: paths that are kept unchanged, and nothing below them is looked at.
            initrds: the initrds of NixOS systems, each with its system: a warning names the ones
                cut off.
            addressing: in content addressing the new names are placeholders, as in input
                addressing. Unsigned paths that are named after their inputs are converted:
                rewritten even if nothing changes below them.
            self_references: only for content addressing.
            fixups: names of fix-ups to be switched on, or with `no-` before them off.

        Raises:
            UsageError: there is no fix-up of a name.
            ConflictingReplacementsError: one OLD has two NEW.
            ReplacementCycleError: following the replacements leads in a circle.
            ReferenceCycleError: hidden references make a circle of paths that lead to an OLD, or
                to a path that is converted.
            PlanError: a root or a NEW is not in the closure.
        """
        store_dir = closure.store_dir
        pairs = replacements.items() if isinstance(replacements, Mapping) else replacements
        named = store_dir.of
        united = unite_replacements([(named(old), named(new)) for old, new in pairs], store_dir)
        switches = registered_switches(tuple(fixups))
        last = resolve_chains({o: n for o, n in united.items() if o != n}, store_dir)
        tops = tuple(dict.fromkeys(map(named, roots)))
        kept = frozenset(map(named, cutoffs))
        for path in [*tops, *last.values()]:
            if path not in closure:
                full = store_dir.path(path)
                raise PlanError(f"'{full}' is not in the closure that is planned", path=full)

        def stays(path: StorePath) -> bool:
            return path in kept or path.is_derivation

        unsigned: frozenset[StorePath] = frozenset()
        if addressing == "content":
            unsigned = frozenset(path for path, info in closure.infos.items() if _unsigned(info))
        graph = movement_graph(tops, last, closure.references, stays)
        order = references_first(graph)
        circular: set[StorePath] = set()
        if len(order) < len(graph):
            circular = circular_replacements(graph, last)
            graph = movement_graph(
                tops, last, closure.references, lambda path: stays(path) or path in circular
            )
            moving = unsigned.difference(kept, circular).union(last)
            order = order_of_leading(graph, moving, store_dir)
        converted = {path for path in unsigned if not stays(path) and path not in circular}
        ends = Ends.of(order, graph, last, closure, converted, switches)
        aliases = {alias.path: alias for alias in ends.aliases.values()}
        new_roots = {root: ends.at(root) for root in tops}
        new_references = references_after(closure, ends, aliases, new_roots.values())
        placeholders: frozenset[StorePath] = frozenset()
        if addressing == "content":
            placeholders = frozenset(aliases).union(made.new_path for made in ends.rewrites)
        return cls(
            closure=closure,
            roots=tops,
            replacements=united,
            cutoffs=kept,
            rewrites=tuple(ends.rewrites),
            aliases=tuple(aliases[path] for path in sorted(aliases)),
            moved=ends.moved,
            new_roots=new_roots,
            new_references=new_references,
            warnings=plan_warnings(
                Situation(
                    closure=closure,
                    roots=tops,
                    replacements=united,
                    last=last,
                    cutoffs=kept,
                    initrds=initrds,
                    circular=frozenset(circular),
                    walked=frozenset(graph),
                    aliases=tuple(aliases.values()),
                    new_closure=frozenset(new_references),
                    unsigned=unsigned,
                    placeholders=placeholders,
                )
            ),
            addressing=addressing,
            self_references=self_references,
            placeholders=placeholders,
            fixups=switches.switched,
        )

    def realised(self, names: Mapping[StorePath, ContentName]) -> Self:
        """The plan with the names that its placeholders turned out to stand for.

        Two placeholders may stand for one path: then both have the same bytes. Or one stands for an
        original: then that does not move.

        Args:
            names: the name of every placeholder.
        """

        def real(path: StorePath) -> StorePath:
            return names[path].path if path in self.placeholders else path

        references: dict[StorePath, frozenset[StorePath]] = {}
        for path, found in self.new_references.items():
            references[real(path)] = frozenset(map(real, found))
        return replace(
            self,
            rewrites=tuple(
                replace(
                    rewrite,
                    new_path=real(rewrite.new_path),
                    references=_moved(rewrite.references, real),
                )
                for rewrite in self.rewrites
            ),
            aliases=tuple(
                sorted(
                    (
                        replace(alias, path=real(alias.path), target=real(alias.target))
                        for alias in self.aliases
                    ),
                    key=lambda alias: alias.path,
                )
            ),
            moved=_moved(self.moved, real),
            new_roots={root: real(new) for root, new in self.new_roots.items()},
            new_references=references,
            placeholders=frozenset(),
            content_names={
                names[placeholder].path: names[placeholder] for placeholder in self.placeholders
            },
        )

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self.closure.store_dir

    @property
    def bytes_at_most(self) -> int:
        """The NAR bytes of all rewrites: the written size if no file can be shared."""
        return sum(rewrite.nar_size for rewrite in self.rewrites)

    @property
    def replaces_nothing(self) -> bool:
        """Whether there are replacements, and no root leads to an OLD that one puts away."""
        idle = {
            warning.path
            for warning in self.warnings
            if warning.kind in {"self-replacement", "unused-replacement"}
        }
        return bool(self.replacements) and self.replacements.keys() <= idle

    def without_replacements(self) -> Self:
        """The plan of the same roots in which every path stays; its warnings are the same."""
        unmoved = type(self).of(self.closure, {}, roots=self.roots)
        return replace(unmoved, replacements=self.replacements, warnings=self.warnings)

    @property
    def new_paths(self) -> frozenset[StorePath]:
        """The paths that execution makes, or finds made."""
        rewritten = {rewrite.new_path for rewrite in self.rewrites}
        return frozenset(rewritten | {alias.path for alias in self.aliases})

    @property
    def shared(self) -> frozenset[StorePath]:
        """The paths of the new closure that were there before."""
        return frozenset(self.new_references) - self.new_paths


def _moved(
    pairs: Mapping[StorePath, StorePath], real: Callable[[StorePath], StorePath]
) -> dict[StorePath, StorePath]:
    return {old: real(new) for old, new in pairs.items() if real(new) != old}


def _unsigned(info: PathInfo) -> bool:
    """Whether another store has no reason to trust the registration of a path."""
    return info.content_address is None and not info.signatures
