"""The plan: where every path of a closure ends up."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from graft.closure import Closure
from graft.errors import PlanError, ReferenceCycleError
from graft.formats.store_path import StoreDir, StorePath
from graft.graph import networkx_graph, reachable, references_first, turned
from graft.plan.naming import alias_name, rewrite_name
from graft.plan.replacements import (
    circular_replacements,
    movement_graph,
    resolve_chains,
    unite_replacements,
)
from graft.plan.values import Alias, PlanWarning, Rewrite
from graft.plan.warnings import Situation, plan_warnings


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be done, by names only.

    Attributes:
        closure: what it was made from.
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

    @classmethod
    def of(
        cls,
        closure: Closure,
        replacements: Mapping[StorePath, StorePath] | Iterable[tuple[StorePath, StorePath]],
        *,
        roots: Iterable[StorePath],
        cutoffs: Iterable[StorePath] = (),
    ) -> Self:
        """Plans a graft.

        Args:
            closure: of the roots and of every NEW.
            replacements: OLD to NEW; pairs may repeat, but not contradict, each other.
            roots: what is to be had without OLD.
            cutoffs: paths that are kept as they are, and nothing below them is looked at.

        Raises:
            ConflictingReplacementsError: one OLD has two NEW.
            ReplacementCycleError: following the replacements leads in a circle.
            ReferenceCycleError: hidden references make a circle of paths that lead to an OLD.
            PlanError: a root or a NEW is not in the closure.
        """
        store_dir = closure.store_dir
        united = unite_replacements(replacements, store_dir)
        last = resolve_chains({o: n for o, n in united.items() if o != n}, store_dir)
        roots = tuple(dict.fromkeys(roots))
        cutoffs = frozenset(cutoffs)
        for path in [*roots, *last.values()]:
            if path not in closure:
                full = store_dir.path(path)
                raise PlanError(f"'{full}' is not in the closure that is planned", path=full)

        def stays(path: StorePath) -> bool:
            return path in cutoffs or path.is_derivation

        graph = movement_graph(roots, last, closure.references, stays)
        order = references_first(graph)
        circular: set[StorePath] = set()
        if len(order) < len(graph):
            circular = circular_replacements(graph, last)
            graph = movement_graph(
                roots, last, closure.references, lambda path: stays(path) or path in circular
            )
            order = _order_of_leading(graph, last, store_dir)
        ends = _Ends.of(order, graph, last, closure)
        aliases = {alias.path: alias for alias in ends.aliases.values()}
        new_roots = {root: ends.at(root) for root in roots}
        new_references = _new_references(closure, ends, aliases, new_roots.values())
        return cls(
            closure=closure,
            roots=roots,
            replacements=united,
            cutoffs=cutoffs,
            rewrites=tuple(ends.rewrites),
            aliases=tuple(aliases[path] for path in sorted(aliases)),
            moved=ends.moved,
            new_roots=new_roots,
            new_references=new_references,
            warnings=plan_warnings(
                Situation(
                    closure=closure,
                    roots=roots,
                    replacements=united,
                    last=last,
                    cutoffs=cutoffs,
                    circular=frozenset(circular),
                    walked=frozenset(graph),
                    aliases=tuple(aliases.values()),
                    new_closure=frozenset(new_references),
                )
            ),
        )

    @property
    def store_dir(self) -> StoreDir:
        """The logical store directory."""
        return self.closure.store_dir

    @property
    def bytes_at_most(self) -> int:
        """NAR bytes of all rewrites: what is written if no file can be shared."""
        return sum(rewrite.nar_size for rewrite in self.rewrites)

    @property
    def new_paths(self) -> frozenset[StorePath]:
        """The paths that execution makes, or finds made."""
        rewritten = {rewrite.new_path for rewrite in self.rewrites}
        return frozenset(rewritten | {alias.path for alias in self.aliases})

    @property
    def shared(self) -> frozenset[StorePath]:
        """The paths of the new closure that were there before."""
        return frozenset(self.new_references) - self.new_paths


class _Ends:
    """Where the paths of a movement graph end up."""

    def __init__(self, last: Mapping[StorePath, StorePath], store_dir: StoreDir) -> None:
        self._last = last
        self._store_dir = store_dir
        self.moved: dict[StorePath, StorePath] = {}
        self.rewrites: list[Rewrite] = []
        self.aliases: dict[StorePath, Alias] = {}

    @classmethod
    def of(
        cls,
        order: Iterable[StorePath],
        graph: Mapping[StorePath, Iterable[StorePath]],
        last: Mapping[StorePath, StorePath],
        closure: Closure,
    ) -> _Ends:
        ends = cls(last, closure.store_dir)
        for path in order:
            if path in last:
                ends._replace(path)
            else:
                ends._rewrite(path, graph[path], closure.infos[path].nar_size)
        used = {new for rewrite in ends.rewrites for new in rewrite.references.values()}
        for old, alias in list(ends.aliases.items()):
            if alias.path not in used:
                del ends.aliases[old]
                ends.moved[old] = alias.target
        return ends

    def at(self, path: StorePath) -> StorePath:
        """ρ(p) itself, past the alias that referrers may see."""
        if path in self._last:
            return self.at(self._last[path])
        return self.moved.get(path, path)

    def _replace(self, path: StorePath) -> None:
        target = self.at(path)
        if len(target) != len(path):
            name = alias_name(path, target, self._store_dir)
            self.aliases[path] = Alias(path=name, target=target, replaces=path)
            target = name
        self.moved[path] = target

    def _rewrite(self, path: StorePath, references: Iterable[StorePath], nar_size: int) -> None:
        moved = {found: self.moved[found] for found in references if found in self.moved}
        if not moved:
            return
        name = rewrite_name(path, moved, self._store_dir)
        self.moved[path] = name
        self.rewrites.append(Rewrite(path=path, new_path=name, references=moved, nar_size=nar_size))


def _order_of_leading(
    graph: Mapping[StorePath, Collection[StorePath]],
    last: Mapping[StorePath, StorePath],
    store_dir: StoreDir,
) -> list[StorePath]:
    """The paths that lead to replaced ones, references first; the others stay, circles and all.

    Raises:
        ReferenceCycleError: some of them lead back to themselves.
    """
    found = reachable(turned(graph), [old for old in last if old in graph])
    leading = {path: [other for other in graph[path] if other in found] for path in found}
    order = references_first(leading)
    if len(order) == len(leading):
        return order
    import networkx as nx  # noqa: PLC0415 - late: slow to import, and circles are rare

    # Sorted, and begun at the least path, the same circle is named the same way on every run.
    ordered = {path: sorted(leading[path]) for path in sorted(leading)}
    circle = [edge[0] for edge in nx.find_cycle(networkx_graph(ordered))]
    begin = circle.index(min(circle))
    cycle = [store_dir.path(path) for path in circle[begin:] + circle[:begin]]
    raise ReferenceCycleError(
        f"these paths refer to each other in a circle: {', '.join(cycle)}; cut one of them off",
        cycle=cycle,
    )


def _new_references(
    closure: Closure,
    ends: _Ends,
    aliases: Mapping[StorePath, Alias],
    new_roots: Iterable[StorePath],
) -> dict[StorePath, frozenset[StorePath]]:
    rewrites = {rewrite.new_path: rewrite for rewrite in ends.rewrites}
    found: dict[StorePath, frozenset[StorePath]] = {}
    waiting = list(new_roots)
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        if (rewrite := rewrites.get(path)) is not None:
            moved = rewrite.references
            found[path] = closure.references(rewrite.path).difference(moved).union(moved.values())
        elif (alias := aliases.get(path)) is not None:
            found[path] = frozenset({alias.target})
        else:
            found[path] = closure.references(path)
        waiting.extend(found[path])
    return found
